"""Dead letters: messages that could not be accepted, read, sent again or forgotten by a person."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from checking_core.contracts import AccessRole
from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Paging, Store, UnitOfWork
from checking_core.storage.audit import Author
from checking_server.api.filters import query
from checking_server.api.guards import needs
from checking_server.api.listing import Listing, columns, listing
from checking_server.api.problems import problems
from checking_server.flow.replay import Replay

__all__ = ["router"]

_NOT_FOUND = "there is no dead letter with this id"


class ListedDeadLetter(msgspec.Struct, frozen=True):
    """A message that could not be accepted: from which queue, and why. ``origin`` is where it was told, if known."""

    id: UUID
    queue: str
    message_id: str | None
    reason: str
    origin: str | None
    headers: dict[str, Any] | None
    created_at: datetime


class DeadLetter(ListedDeadLetter, frozen=True):
    """A dead letter with its ``body`` as text, what is none of it escaped, and in ``body_base64`` byte for byte."""

    body: str
    body_base64: str


class DeadLetters(Listing, frozen=True, kw_only=True):
    """A page of dead letters; their bodies are told of each alone."""

    items: list[ListedDeadLetter]


@get("/", responses=problems())
async def list_dead_letters(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    reason: Annotated[str, query("Part of the reason", longest=1_000)] = "",
) -> DeadLetters:
    """Dead letters, newest first."""
    async with store.glance() as uow:
        page = await uow.dead_letters.list(paging, reason=reason)
    return listing(page, DeadLetters)


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_dead_letter(store: NamedDependency[Store], key: FromPath[UUID]) -> DeadLetter:
    """One dead letter by its ``id``, with its body."""
    async with store.glance() as uow:
        row = columns(await _found(uow, key))
    body: bytes = row.pop("body")
    text = body.decode(errors="backslashreplace")
    return msgspec.convert({**row, "body": text, "body_base64": b64encode(body).decode()}, DeadLetter)


@post(
    "/{key:str}/replay",
    opt=needs(AccessRole.OPERATOR),
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def replay_dead_letter(
    store: NamedDependency[Store],
    replay: NamedDependency[Replay | None],
    author: NamedDependency[Author],
    key: FromPath[UUID],
) -> None:
    """Send a dead letter again to the queue it came from; if it fails again it comes back as a new one."""
    if replay is None:
        raise ConflictError("this server may publish nowhere; where the broker is set up: checking dead-letters replay")
    async with store.glance() as uow:
        row = await _found(uow, key)
    (problem,) = await replay([key])
    if isinstance(problem, NotFoundError):
        raise NotFoundError(_NOT_FOUND)
    if problem is not None:
        raise ConflictError(f"it stays: {problem}")
    async with store.begin() as uow:
        await uow.audit.note(author, "dead_letter.replay", key, before=_told(row))


@delete("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND))
async def delete_dead_letter(
    store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID]
) -> None:
    """Forget a dead letter for good."""
    async with store.begin() as uow:
        row = await _found(uow, key)
        await uow.dead_letters.delete_batch([key])
        await uow.audit.note(author, "dead_letter.delete", key, before=_told(row))


async def _found(uow: UnitOfWork, key: UUID) -> Mapping[Any, Any]:
    row = await uow.dead_letters.get(key)
    if row is None:
        raise NotFoundError(_NOT_FOUND)
    return row


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("queue", "message_id", "reason")}


router = Router(
    "/dead-letters",
    route_handlers=[list_dead_letters, get_dead_letter, replay_dead_letter, delete_dead_letter],
    tags=["dead_letters"],
)
