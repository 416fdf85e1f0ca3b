"""What every request gets, whatever becomes of it: an id, a time, one line in the log."""

from __future__ import annotations

import re
from time import perf_counter
from uuid import uuid4

import structlog
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

__all__ = ["RequestTrace"]

log = structlog.get_logger(__name__)

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestTrace:
    """Binds ``X-Request-ID`` for everything that is logged on the way, answers it, times and logs the request.

    It stands around the whole application and not among its middleware, which only runs for paths that exist: an
    answer to a wrong path has an id and a line in the log too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; what is no HTTP passes."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, path = perf_counter(), scope["path"]
        request_id = scope["state"]["request_id"] = _request_id(scope)
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableScopeHeaders.from_message(message)
                headers["x-request-id"] = request_id
                headers["x-process-time-ms"] = f"{_since(began):.1f}"
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            finally:  # the path alone: a query may hold what is nobody else's business
                log.info(
                    "request",
                    method=scope["method"],
                    path=path,
                    status=status,
                    ms=round(_since(began), 1),
                    **_asked_by(scope),
                )


def _request_id(scope: Scope) -> str:
    """The caller's own id, if it can be put into logs and headers as it is; else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _SANE.fullmatch(given) else uuid4().hex


def _asked_by(scope: Scope) -> dict[str, str]:
    """Whose key it was, if one was asked for and admitted."""
    principal = scope["state"].get("principal")
    return {"by": principal.name} if principal is not None and principal.key_id else {}


def _since(began: float) -> float:
    return (perf_counter() - began) * 1000
