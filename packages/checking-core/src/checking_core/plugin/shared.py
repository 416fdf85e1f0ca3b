"""One call that many wait for: whoever needs the same joins it, and the last who gives up ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from checking_core.errors import FatalDetectionError

__all__ = ["Call", "Remembered", "contained", "look_at"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


async def contained(work: Callable[[], Awaitable[T]]) -> T:
    """Run foreign code in an asyncio task of its own, out of which these errors would end the event loop."""
    try:
        return await work()
    except (KeyboardInterrupt, SystemExit) as error:
        raise FatalDetectionError(f"the plugin raised {type(error).__name__}") from error


class Call(Generic[T]):
    """A call under way, or its outcome."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._task = asyncio.create_task(contained(work))
        self._task.add_done_callback(look_at)
        self._waiting = 0
        self._abandoned = False

    @property
    def usable(self) -> bool:
        """Whether it has an outcome that is no error, or may still get one."""
        return not self._abandoned and (not self._task.done() or self._succeeded)

    @property
    def outcome(self) -> T | None:
        """What it returned; ``None`` before that, or when it failed."""
        return self._task.result() if self._succeeded else None

    @property
    def _succeeded(self) -> bool:
        return self._task.done() and not self._task.cancelled() and self._task.exception() is None

    async def result(self) -> T:
        """Wait for it, together with others."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._task.done():
                self._abandoned = True
                self._task.cancel()


def look_at(task: asyncio.Task[Any]) -> None:
    """So that asyncio does not report an error as unnoticed that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


class Remembered(Generic[K, T]):
    """What a backend tells about itself, asked again only after a while; an error is not remembered.

    Args:
        ask: the question.
        clock: the present time.
        keep: for how long an answer is good.
        most: answers that are kept.
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[T]],
        clock: Callable[[], datetime],
        *,
        keep: timedelta,
        most: int = 1000,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._keep = keep
        self._most = most
        self._calls: dict[K, tuple[datetime, Call[T]]] = {}

    async def get(self, key: K) -> T:
        """The answer, remembered or asked for."""
        began, call = self._calls.get(key, (None, None))
        if began is None or call is None or not call.usable or began < self._clock() - self._keep:
            self._calls.pop(key, None)
            call = Call(partial(self._ask, key))
            self._calls[key] = (self._clock(), call)
            while len(self._calls) > self._most:
                del self._calls[next(iter(self._calls))]
        return await call.result()
