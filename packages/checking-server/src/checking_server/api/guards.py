"""Who may ask."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler

__all__ = ["LOOPBACK_NAMES", "named"]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "[::1]", "localhost"})

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?")

_LAST_PORT = 65_535


def named(names: Collection[str]) -> Callable[[Connection, BaseRouteHandler], Awaitable[None]]:
    """Only requests that call the server by one of these names, or by none.

    A web page can point its own name at 127.0.0.1 and have a browser read what listens there; the request then
    carries the page's name.
    """

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        host = connection.headers.get("host", "").lower()
        called = _HOST.fullmatch(host)
        if host and (called is None or called[1] not in names or int(called[2] or 0) > _LAST_PORT):
            raise HTTPException("this server has no such name", status_code=HTTPStatus.MISDIRECTED_REQUEST)

    return guard
