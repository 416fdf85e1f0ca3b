"""Who may ask. Every route below the version passes here; one that says nothing of itself is for admins, or reads."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import (
    HTTPException,
    NotAuthorizedException,
    PermissionDeniedException,
    TooManyRequestsException,
)
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from checking_core.contracts import AccessRole
from checking_core.storage.audit import Author
from checking_server.access import Keyring, Principal, RefusedError
from checking_server.api.rate import Buckets

__all__ = [
    "ANY_SCOPE",
    "LOOPBACK_NAMES",
    "OPEN",
    "Guard",
    "Pace",
    "admitted",
    "author_of",
    "both",
    "needed_role",
    "needs",
    "principal_of",
    "recognised",
]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
Guard: TypeAlias = Callable[[Connection, BaseRouteHandler], Awaitable[None]]

OPEN: Final = {"needs": None}
"""``opt`` of a route that anybody may ask."""

ANY_SCOPE: Final = {"any_scope": True}
"""``opt`` of a route that keys of every scope may use."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_LAST_PORT = 65_535
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_ANYBODY = Principal(name="anybody", role=AccessRole.ADMIN)


def needs(role: AccessRole) -> dict[str, Any]:
    """``opt`` of a route that this role may use, and those above it."""
    return {"needs": role}


def needed_role(handler: BaseRouteHandler) -> AccessRole | None:
    """Which role a route needs; ``None`` if anybody may use it."""
    methods: frozenset[str] = frozenset(getattr(handler, "http_methods", ()))
    otherwise = AccessRole.VIEWER if methods and methods <= _READS else AccessRole.ADMIN
    role: AccessRole | None = handler.opt.get("needs", otherwise)
    return role


def named(names: Collection[str], origins: Collection[str] = ()) -> Guard:
    """Only requests that call the server by one of these names, or by none; and no writes that a web page sends.

    A web page can point its own name at 127.0.0.1 and have a browser read what listens there; the request then
    carries the page's name. It can also have a browser send a request whose answer it does not get to see; that one
    tells where it comes from. Where keys are asked for the page has none.

    Args:
        names: of this server.
        origins: of pages that may write all the same.
    """

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        host = connection.headers.get("host", "").lower()
        called = _HOST.fullmatch(host)
        if host and (called is None or called[1] not in names or int(called[2] or 0) > _LAST_PORT):
            raise HTTPException("this server has no such name", status_code=HTTPStatus.MISDIRECTED_REQUEST)
        origin = connection.headers.get("origin")
        strange = origin not in (None, *origins, f"http://{host}", f"https://{host}")
        elsewhere = connection.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        writes = connection.scope.get("method") not in _READS
        if writes and (strange or (elsewhere and origin not in origins)):
            raise PermissionDeniedException("a page of another origin writes nothing here; see CHECKING_API_ORIGINS")

    return guard


def both(first: Guard, second: Guard) -> Guard:
    """Two as one: for each guard of a route the framework makes a copy of its handler."""

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        await first(connection, handler)
        await second(connection, handler)

    return guard


class Pace(NamedTuple):
    """How often everybody may ask, and how often an address may come without a key that is known."""

    requests: Buckets
    failures: Buckets


def admitted(keyring: Keyring | None, pace: Pace) -> Guard:
    """Only those whose role and scopes allow the route, and not too often; without a keyring nobody is asked who they
    are.
    """

    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        role = needed_role(handler)
        if role is None:
            return
        principal = await _paced(keyring, connection, pace)
        if not principal.role.may(role):
            raise PermissionDeniedException(f"this needs the role {role}, and the key has {principal.role}")
        scopes = principal.scopes
        if scopes and not handler.opt.get("any_scope") and scopes.isdisjoint(_tags(handler)):
            raise PermissionDeniedException(f"the key is confined to {', '.join(sorted(scopes))}")
        connection.scope["state"]["principal"] = principal

    return guard


async def _paced(keyring: Keyring | None, connection: Connection, pace: Pace) -> Principal:
    """Who asks. Guessing keys costs an address tokens; a right one is never refused for what others guess there."""
    address = connection.client.host if connection.client else ""
    if keyring is None:
        _wait(pace.requests.take(address))
        return _ANYBODY
    try:
        principal = await recognised(keyring, connection)
    except NotAuthorizedException:
        if not connection.headers.keys().isdisjoint({"x-api-key", "authorization"}):
            _wait(pace.failures.take(address))
        raise
    _wait(pace.requests.take(str(principal.key_id)))
    return principal


def _wait(seconds: float) -> None:
    if seconds > 0:
        headers = {"Retry-After": str(math.ceil(seconds))}
        raise TooManyRequestsException("too many requests; ask again when Retry-After says", headers=headers)


async def recognised(keyring: Keyring, connection: Connection) -> Principal:
    """Who asks, by ``X-API-Key``, or by ``Authorization: Bearer`` with a key or a token."""
    key = connection.headers.get("x-api-key")
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    try:
        if key is not None:
            return await keyring.of_key(key)
        if scheme.lower() == "bearer":
            return await (keyring.of_key(bearer) if bearer.startswith("chk_") else keyring.of_token(bearer))
    except RefusedError as error:
        raise NotAuthorizedException(str(error), headers=_CHALLENGE) from error
    raise NotAuthorizedException("say who asks, with X-API-Key or Authorization: Bearer", headers=_CHALLENGE)


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """Who was admitted."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def author_of(request: Request[Any, Any, Any]) -> Author:
    """Who asks for a change, for the audit log."""
    principal = principal_of(request)
    return Author(
        name=principal.name,
        key_id=principal.key_id,
        address=request.client.host if request.client else None,
        request_id=request.scope["state"]["request_id"],
    )


def _tags(handler: BaseRouteHandler) -> frozenset[str]:
    return frozenset(handler.resolve_tags()) if isinstance(handler, HTTPRouteHandler) else frozenset()


_CHALLENGE = {"WWW-Authenticate": "Bearer"}
