"""A fake product as a process of its own, on a port that stays its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx

__all__ = ["Fake", "Request", "most_at_once", "most_within"]

_ROOT = Path(__file__).parents[2]
_PATIENCE = 30


class Request(NamedTuple):
    """A request that the fake has taken.

    ``began`` and ``ended`` are seconds of the machine's monotonic clock, the same for every process; ``ended`` is
    ``None`` while the answer is not out. ``status`` is 0 until the answer begins.
    """

    method: str
    path: str
    began: float
    ended: float | None
    status: int


class Fake:
    """A process that serves a Starlette application until it is killed. It dies with the tests, however they end.

    Args:
        app: import string of a function that gets ``told``, a function that gives what ``tell`` said last, and gives
            the application: ``tests.fakes.elastic:create_app``.
        records: what the product holds; anything that JSON can say.
        delay: seconds that every answer takes.
    """

    def __init__(self, app: str, records: Any = None, *, delay: float = 0.0) -> None:
        self._app = app
        self._delay = delay
        self._process: subprocess.Popen[str] | None = None
        self._open = ExitStack()
        self.port = _held_port(self._open)
        self._file = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="checking-fake-"))) / "records"
        self.tell(records)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._open.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, records: Any) -> None:
        """Say what the product holds from now on, whether it runs or not."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(records))
        new.replace(self._file)

    def start(self) -> None:
        """Start it and wait until it says that it listens."""
        assert self._process is None
        arguments = [self._app, str(self.port), str(self._file), str(self._delay)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.serving", *arguments],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "ready\n", f"{self._app} did not start: {said!r}"

    def kill(self) -> None:
        """End it as a power cut would; whoever waits for an answer gets none. What it has seen is gone too."""
        process, self._process = self._process, None
        if process is not None:
            with process:
                process.kill()
            process.wait(_PATIENCE)

    def restart(self) -> None:
        """Kill it and start it on the same port."""
        self.kill()
        self.start()

    def seen(self, path: str = "") -> list[Request]:
        """The requests of its present life in order, those whose path contains this."""
        taken = httpx.get(f"{self.url}/_fake/requests", timeout=_PATIENCE).raise_for_status().json()
        return [request for one in taken if path in (request := Request(**one)).path]

    def forget(self) -> None:
        """Begin to count anew."""
        httpx.delete(f"{self.url}/_fake/requests", timeout=_PATIENCE).raise_for_status()


def _held_port(held: ExitStack) -> int:
    """A port that nobody else gets, running or not: bound, and listened on by the process alone."""
    place = held.enter_context(socket.socket())
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return int(place.getsockname()[1])


def most_at_once(requests: Iterable[Request]) -> int:
    """The greatest number of requests that were being answered at the same moment."""
    steps = sorted(
        step for one in requests for step in ((one.began, 1), (float("inf") if one.ended is None else one.ended, -1))
    )
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def most_within(requests: Iterable[Request], seconds: float) -> int:
    """The greatest number of requests that began within any span of so many seconds."""
    began = sorted(one.began for one in requests)
    first = most = 0
    for last, moment in enumerate(began):
        while moment - began[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most
