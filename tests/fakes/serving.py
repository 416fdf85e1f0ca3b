"""The process behind ``Fake``: ``python -m tests.fakes.serving APP PORT RECORDS DELAY``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.importer import import_from_string

Told = Callable[[], Any]
"""Gives what the product holds at this moment."""


class Watched:
    """Keeps what came and when, tells it at ``/_fake/requests``, and lets every answer take its time."""

    def __init__(self, app: ASGIApp, delay: float) -> None:
        self._app = app
        self._delay = delay
        self._taken: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == "/_fake/requests":
            await self._tell(scope, receive, send)
        else:
            await self._watch(scope, receive, send)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = JSONResponse(self._taken)
        if scope["method"] == "DELETE":
            self._taken.clear()
        await answer(scope, receive, send)

    async def _watch(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        one = {"method": scope["method"], "path": path, "began": time.monotonic(), "ended": None, "status": 0}
        self._taken.append(one)

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                one["status"] = message["status"]
            elif not message.get("more_body"):
                # before the last byte is out: whoever has the answer may ask the next thing at once
                one["ended"] = time.monotonic()
            await send(message)

        await asyncio.sleep(self._delay)
        await self._app(scope, receive, noted)


class Ready(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


def die_with_parent() -> None:
    """Wait for the end of stdin: whoever started this process is gone."""
    sys.stdin.read()
    os._exit(0)


def main(app: str, port: str, records: str, delay: str) -> None:
    """Serve until killed."""
    threading.Thread(target=die_with_parent, daemon=True).start()
    create_app: Callable[[Told], ASGIApp] = import_from_string(app)
    watched = Watched(create_app(lambda: json.loads(Path(records).read_bytes())), float(delay))
    config = uvicorn.Config(watched, port=int(port), log_level="warning", lifespan="off")
    Ready(config).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
