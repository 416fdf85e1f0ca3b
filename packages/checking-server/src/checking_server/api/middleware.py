"""What every request gets, whatever becomes of it: an id, a time, one line in the log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from time import perf_counter
from typing import Any
from uuid import uuid4

import structlog
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from checking_server.collecting import Refuse
from checking_server.metrics import Metrics

__all__ = ["RequestTrace"]

log = structlog.get_logger(__name__)

_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestTrace:
    """Binds ``X-Request-ID`` for everything that is logged on the way, answers it, times and logs the request.

    It stands around the whole application and not among its middleware, which only runs for paths that exist: an
    answer to a wrong path has an id and a line in the log too.

    Args:
        app: what answers.
        headers: of every answer that does not have them.
        body_seconds: how long the body of a request may take to come.
        metrics: is told of every request.
    """

    def __init__(self, app: ASGIApp, *, headers: Mapping[str, str], body_seconds: float, metrics: Metrics) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._body_seconds = body_seconds
        self._metrics = metrics
        self._refuse = Refuse()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; what is no HTTP passes."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began, path = perf_counter(), scope["path"]
        request_id = scope["state"]["request_id"] = _request_id(scope)
        status: int | None = None
        body = Body(receive, self._body_seconds)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = [*message["headers"], (b"x-request-id", request_id.encode()), _time_taken(began)]
                names = {name for name, _ in told}
                message["headers"] = [*told, *(header for header in self._headers if header[0] not in names)]
            await send(message)

        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, body.receive, answer)
            finally:  # the path alone: a query may hold what is nobody else's business
                self._metrics.request(scope["method"], _route(scope), status, _since(began) / 1000)
                log.info(
                    "request",
                    method=scope["method"],
                    path=path,
                    status=status,
                    ms=round(_since(began), 1),
                    **_asked_by(scope),
                )
                if status is None or status >= HTTPStatus.BAD_REQUEST:
                    self._refuse.add(body.size)


def _request_id(scope: Scope) -> str:
    """The caller's own id, if it can be put into logs and headers as it is; else a new one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _SANE.fullmatch(given) else uuid4().hex


def _time_taken(began: float) -> tuple[bytes, bytes]:
    return b"x-process-time-ms", b"%.1f" % _since(began)


def _route(scope: Scope) -> str:
    """The pattern of its path; a path of a caller's own making has none."""
    return str(scope.get("path_template", ""))


def _asked_by(scope: Scope) -> dict[str, str]:
    """Whose key it was, if one was asked for and admitted."""
    principal = scope["state"].get("principal")
    return {"by": principal.name} if principal is not None and principal.key_id else {}


def _since(began: float) -> float:
    return (perf_counter() - began) * 1000


class Body:
    """The body of a request, as it comes. One that trickles in is given up: it holds a connection and what was read.

    Args:
        receive: what tells of it.
        seconds: how long it may take.
    """

    def __init__(self, receive: Receive, seconds: float) -> None:
        self._receive = receive
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._whole = False
        self.size = 0

    async def receive(self) -> Any:
        """As ASGI has it. Raises ``HTTPException``, 408, for one that is late."""
        if self._whole:  # from now on it only waits for the client to go
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not come within {self._seconds:g} s"
            raise HTTPException(
                detail, status_code=HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"}
            ) from None
        self._whole = not message.get("more_body", False)
        self.size += len(message["body"]) if message["type"] == "http.request" else 0
        return message
