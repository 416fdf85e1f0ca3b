"""The HTTP server around the application."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

from checking_server.api.events import ENDLESS

__all__ = ["ApiServer"]

_LAST_WORD = 1.0
"""Seconds that a reader has for the end of a stream."""


class ApiServer(uvicorn.Server):
    """uvicorn that leaves signals, logs and the application's lifespan to whoever runs it.

    Args:
        app: the application, its lifespan entered.
        drain: seconds that requests under way have after the stop.
        on_ready: called once it answers.
        on_stop: called when it is told to stop; ends answers that have no end of their own.
        proxies: addresses of those whose word counts on where a request comes from.
    """

    def __init__(
        self,
        app: Litestar,
        *,
        drain: float,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None] = lambda: None,
        proxies: Sequence[str] = (),
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                ws="none",
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                server_header=False,
                timeout_graceful_shutdown=math.ceil(drain),
            )
        )
        self._on_ready = on_ready
        self._on_stop = on_stop

    def stop(self) -> None:
        """Accept nothing more; ``serve`` returns when the requests under way are answered."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``; who does not read the end of a stream is not waited for."""
        self._on_stop()
        cut = asyncio.get_running_loop().call_later(_LAST_WORD, self._cut)
        await super().shutdown(sockets)
        cut.cancel()

    def _cut(self) -> None:
        for connection in list(self.server_state.connections):
            state = (getattr(connection, "scope", None) or {}).get("state", {})
            if state.get(ENDLESS):
                connection.transport.abort()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See ``uvicorn.Server``: none of them."""
        yield
