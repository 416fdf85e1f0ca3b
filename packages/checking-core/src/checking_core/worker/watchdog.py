"""Ends a process whose event loop stands still: a detector that blocks it would hold every task for ever.

The broker then delivers the tasks again, at most so many times, and a supervisor starts the worker again.
"""

from __future__ import annotations

import asyncio
import faulthandler
import math
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import NamedTuple
from uuid import UUID

import structlog

from checking_core.plugin.base import Look
from checking_core.worker.signals import leave

__all__ = ["EXIT_BLOCKED", "Watchdog"]

log = structlog.get_logger(__name__)

EXIT_BLOCKED = 70
"""Exit code of a process that a detector blocked; 1 where it kept even the interpreter from running."""

_MOST_FRAMES = 20
_STDERR = 2  # what Python calls so may be something that only Python can write to


class _Running(NamedTuple):
    """A look under way, and how long one of its attempts may take."""

    backend: str
    task_id: UUID
    timeout: float


class Watchdog:
    """Watches the event loop in which it is made, from a thread.

    The loop has stood still when it answers nothing for longer than the longest time-out of the looks under way, and
    ``grace`` on top. That time is counted in the watchdog's own ticks, so that a process which was stopped and goes on
    has not stood still; and a detector that waits, however long, leaves the loop free to answer.

    Args:
        grace: seconds.
        tick: seconds between two questions to the loop.
        end: ends the process with an exit code.
    """

    def __init__(self, *, grace: float = 30.0, tick: float = 1.0, end: Callable[[int], object] = os._exit) -> None:
        self._grace = grace
        self._tick = tick
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._looks: dict[int, _Running] = {}
        self._answered = True
        self._silent = 0
        self._arming = threading.Lock()
        self._armed_for = math.inf  # not armed at all: no look is too long

    @contextmanager
    def look(self, backend: str, look: Look) -> Iterator[None]:
        """A look is under way while the block runs."""
        self._looks[id(look)] = _Running(backend, look.task.task_id, look.timeout)
        if look.timeout > self._armed_for:
            self._arm()
        try:
            yield
        finally:
            del self._looks[id(look)]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs."""
        stopped = threading.Event()
        thread = threading.Thread(target=self._watch, args=(stopped,), name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
            self._armed_for = math.inf
            faulthandler.cancel_dump_traceback_later()

    def check(self) -> None:
        """One tick: ask the loop, or count that it has not answered yet. Called by the thread of ``watching``."""
        if self._answered:
            self._answered, self._silent = False, 0
            self._loop.call_soon_threadsafe(self._answer)
            return
        self._silent += 1
        if self._silent * self._tick > self._longest + self._grace:
            leave(EXIT_BLOCKED, self._tell, end=self._end)

    def _watch(self, stopped: threading.Event) -> None:
        while True:
            self._arm()
            if stopped.wait(self._tick):
                return
            self.check()

    def _arm(self) -> None:
        """Set the timer for what no thread of Python can end: a regular expression that runs away lets none run.

        It writes the stacks to stderr and ends the process with code 1, unless it is set again before.
        """
        with self._arming:
            self._armed_for = self._longest
            seconds = self._armed_for + self._grace + max(self._grace, 3 * self._tick)
            faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)

    @property
    def _longest(self) -> float:
        """The longest time-out of the looks under way."""
        return max((running.timeout for running in list(self._looks.values())), default=0.0)

    def _answer(self) -> None:
        self._answered = True

    def _tell(self) -> None:
        """Who is to blame: the asyncio task that stands still has the name of its attempt, if it is one."""
        standing = asyncio.current_task(self._loop)
        log.critical(
            "event_loop_blocked",
            seconds=self._silent * self._tick,
            asyncio_task=standing and standing.get_name(),
            looks=[f"{running.backend} {running.task_id}" for running in list(self._looks.values())],
            frames=self._frames(),
        )

    def _frames(self) -> list[str]:
        """Where the loop's thread stands, the innermost last; folder and file name are enough to find it."""
        frame = sys._current_frames().get(self._thread)  # noqa: SLF001 - the documented way, whatever its name
        stack = [(frame.f_code, line) for frame, line in traceback.walk_stack(frame)] if frame else []
        return [
            f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{line} {code.co_qualname}"
            for code, line in reversed(stack[:_MOST_FRAMES])
        ]
