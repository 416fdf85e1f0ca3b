"""What the red team did, told over HTTP: the same messages as on the bus, into the same station."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema

from checking_core.contracts import AccessRole
from checking_core.errors import RejectedMessageError
from checking_core.storage.audit import Author
from checking_core.transport.base import Message
from checking_core.transport.topology import HEADER_REQUEST_ID
from checking_server.api.examples import LINK_RESULT
from checking_server.api.guards import needs
from checking_server.api.problems import FieldError, InvalidFieldsError, problems
from checking_server.engine import Engine
from checking_server.flow.accept import Accepted, Change

__all__ = ["router"]

_MOST = 1_000
"""Messages of one request."""
_MOST_TOLD = 100
"""Rejections that are told in one answer."""


class Ingested(msgspec.Struct, frozen=True, kw_only=True):
    """What one message changed; ``execution_id`` is the ``id`` of the execution, where it tells of one."""

    change: Change
    operation_id: UUID
    execution_id: UUID | None


class Ingestion(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the messages, counted and one by one, in their order."""

    new: int
    revised: int
    repeated: int
    items: list[Ingested]


@dataclass
class _TakesMessages(Operation):
    """The body is read as it came, so the framework does not know what it is."""

    def __post_init__(self) -> None:
        one = Schema(type=OpenAPIType.OBJECT, description="A message, as docs/reference/messages.md tells")
        several = Schema(type=OpenAPIType.ARRAY, items=one, min_items=1, max_items=_MOST)
        content = OpenAPIMediaType(
            schema=Schema(one_of=[one, several]),
            examples={"link_result": Example(summary="One execution with one check", value=LINK_RESULT)},
        )
        self.request_body = RequestBody(content={"application/json": content}, required=True)


@post(
    "/link-results",
    opt=needs(AccessRole.OPERATOR),
    status_code=HTTPStatus.OK,
    operation_class=_TakesMessages,
    responses=problems(HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
)
async def ingest_link_results(
    request: Request[Any, Any, Any], engine: NamedDependency[Engine], author: NamedDependency[Author]
) -> Ingestion:
    """Take one message, or a list of up to 1,000: link results, states of operations and links.

    The same message again changes nothing, so a request may be sent again whole. Where some are rejected the others are
    stored all the same; the answer is 400 then, and its `errors` name each by its number.
    """
    bodies = _bodies(await request.body())
    headers = {HEADER_REQUEST_ID: request.scope["state"]["request_id"]}
    answers = await engine.accept([Message(body=body, message_id="", headers=headers) for body in bodies])
    told = [answer for answer in answers if isinstance(answer, Accepted)]
    counts = Counter(answer.change for answer in told)
    if counts[Change.NEW] or counts[Change.REVISED]:
        async with engine.store.begin() as uow:
            await uow.audit.note(author, "link_results.ingest", headers[HEADER_REQUEST_ID], after=counts)
    _refuse_rejected(answers)
    items = [Ingested(change=one.change, operation_id=one.operation_id, execution_id=one.execution_id) for one in told]
    return Ingestion(**{change.value: counts[change] for change in Change}, items=items)


def _bodies(body: bytes) -> Sequence[bytes]:
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return [body]
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise RejectedMessageError("$", f"is no JSON: {error}") from None
    if not 0 < len(items) <= _MOST:
        raise RejectedMessageError("$", f"has {len(items)} messages; send 1 to {_MOST:,} at a time")
    return [bytes(item) for item in items]


def _refuse_rejected(answers: Sequence[Accepted | RejectedMessageError]) -> None:
    rejected = [(number, one) for number, one in enumerate(answers) if isinstance(one, RejectedMessageError)]
    if not rejected:
        return
    if len(answers) == 1:
        raise rejected[0][1]
    told = [FieldError(f"[{number}].{error.field}", error.problem) for number, error in rejected[:_MOST_TOLD]]
    detail = f"{len(rejected)} of {len(answers)} messages were rejected, the others are stored; correct these and send"
    raise InvalidFieldsError(f"{detail} them again", told)


router = Router("/ingest", route_handlers=[ingest_link_results], tags=["ingest"])
