"""Access: API keys, tokens made from them, and the log of who changed what."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, JSONBody

from checking_core.contracts import AccessRole
from checking_core.errors import ConflictError, RejectedMessageError
from checking_core.storage import Paging, Store, UnitOfWork
from checking_core.storage.audit import AuditFilter, Author
from checking_server.access import Keyring, Principal, Scope, create_key, revoke_key
from checking_server.api.filters import Since, Until, aware, query
from checking_server.api.guards import ANY_SCOPE, needs, principal_of
from checking_server.api.listing import Listing, columns, listing
from checking_server.api.once import NOT_KEPT
from checking_server.api.problems import problems

__all__ = ["router"]


class ApiKey(msgspec.Struct, frozen=True):
    """A key, by the ``prefix`` that its text begins with; without ``scopes`` it may use all that its role allows."""

    id: UUID
    prefix: str
    name: str
    role: AccessRole
    scopes: list[Scope]
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class ApiKeys(Listing, frozen=True, kw_only=True):
    """A page of keys."""

    items: list[ApiKey]


class NewApiKey(ApiKey, frozen=True):
    """A key that was made just now; its text, ``key``, is told this once."""

    key: str


class WantedApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made: for whom, for what, until when."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    role: AccessRole
    scopes: list[Scope] = []
    expires_at: datetime | None = None


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token for ``Authorization: Bearer``, good for ``expires_in`` seconds."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - a kind, no secret
    expires_in: int


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: who, from where, what kind, of which thing, and what of it was and is."""

    id: UUID
    created_at: datetime
    author: str
    key_id: UUID | None
    address: str | None
    request_id: str | None
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditEntries(Listing, frozen=True, kw_only=True):
    """A page of the audit log."""

    items: list[AuditEntry]


@post("/auth/token", opt={**needs(AccessRole.VIEWER), **ANY_SCOPE, **NOT_KEPT}, responses=problems(HTTPStatus.CONFLICT))
async def create_token(request: Request[Any, Any, Any], keyring: NamedDependency[Keyring | None]) -> Token:
    """A short-lived token of the key that this request comes with, for what should not hold the key itself."""
    principal = principal_of(request)
    if keyring is None:
        raise ConflictError("nobody is asked who they are here: there is nothing to have a token for")
    if principal.by_token:
        raise PermissionDeniedException("a token makes no token; use the key")
    token, lifetime = keyring.token_of(principal)
    return Token(access_token=token, expires_in=int(lifetime.total_seconds()))


@get("/auth/api-keys", opt=needs(AccessRole.ADMIN), responses=problems())
async def list_api_keys(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> ApiKeys:
    """Keys, newest first, the revoked ones among them."""
    async with store.read() as uow:
        page = await uow.api_keys.list(paging)
    return listing(page, ApiKeys)


@post("/auth/api-keys", opt={**needs(AccessRole.ADMIN), **NOT_KEPT}, responses=problems())
async def create_api_key(
    request: Request[Any, Any, Any],
    store: NamedDependency[Store],
    author: NamedDependency[Author],
    data: JSONBody[WantedApiKey],
) -> NewApiKey:
    """Make a key that may no more, and for no longer, than the one that makes it. Keep it: it is not told again."""
    expires_at = aware("expires_at", data.expires_at)
    principal = principal_of(request)
    if principal.by_token:
        raise PermissionDeniedException("a token makes no key; use the key")
    if principal.scopes and not (data.scopes and principal.scopes.issuperset(data.scopes)):
        raise PermissionDeniedException(
            f"the new key has to be confined to some of {', '.join(sorted(principal.scopes))}"
        )
    async with store.begin() as uow:
        await _refuse_longer(uow, principal, expires_at)
        if expires_at is not None and expires_at <= uow.now:
            raise RejectedMessageError("expires_at", "lies in the past")
        key, row = await create_key(
            uow, author, name=data.name, role=data.role, scopes=data.scopes, expires_at=expires_at
        )
    return msgspec.convert({**columns(row), "key": key}, NewApiKey)


async def _refuse_longer(uow: UnitOfWork, principal: Principal, expires_at: datetime | None) -> None:
    own = await uow.api_keys.get(principal.key_id) if principal.key_id else None
    end: datetime | None = own["expires_at"] if own is not None else None
    if end is not None and (expires_at is None or expires_at > end):
        raise PermissionDeniedException(f"the new key has to end with the one that makes it, by {end.isoformat()}")


@delete(
    "/auth/api-keys/{key:str}",
    opt=needs(AccessRole.ADMIN),
    status_code=HTTPStatus.OK,
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def revoke_api_key(store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID]) -> ApiKey:
    """Let a key be good for nothing, within five seconds; its row stays."""
    async with store.begin() as uow:
        row = await revoke_key(uow, author, key)
    return msgspec.convert(columns(row), ApiKey)


@get("/audit", opt=needs(AccessRole.ADMIN), responses=problems())
async def list_audit_entries(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    action: Annotated[str | None, query("Kind of thing and what became of it: api_key.create", longest=100)] = None,
    subject: Annotated[str | None, query("Id of what was changed", longest=255)] = None,
    by: Annotated[str | None, query("Who did it", name="author", longest=255)] = None,
    since: Since = None,
    until: Until = None,
) -> AuditEntries:
    """Who changed what, the last change first."""
    wanted = AuditFilter(
        action=action, subject=subject, author=by, since=aware("from", since), until=aware("to", until)
    )
    async with store.read() as uow:
        page = await uow.audit.list(paging, wanted)
    return listing(page, AuditEntries)


router = Router(
    "/",
    route_handlers=[create_token, list_api_keys, create_api_key, revoke_api_key, list_audit_entries],
    tags=["access"],
)
