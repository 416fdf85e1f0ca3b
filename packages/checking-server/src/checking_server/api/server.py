"""The HTTP server around the application."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from litestar import Litestar

__all__ = ["ApiServer"]


class ApiServer(uvicorn.Server):
    """uvicorn that leaves signals, logs and the application's lifespan to whoever runs it.

    Args:
        app: the application, its lifespan entered.
        drain: seconds that requests under way have after the stop.
        on_ready: called once it answers.
    """

    def __init__(self, app: Litestar, *, drain: float, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(drain),
            )
        )
        self._on_ready = on_ready

    def stop(self) -> None:
        """Accept nothing more; ``serve`` returns when the requests under way are answered."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See ``uvicorn.Server``."""
        await super().startup(sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See ``uvicorn.Server``: none of them."""
        yield
