"""When a consumer leaves with a batch: at once when nothing more comes, and full under load."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Collector"]


class Collector:
    """The adaptive collect window. It waits; the deliveries stay with its owner until they are counted out.

    Args:
        ready: how many deliveries could be taken now. Call ``wake`` whenever that may have grown.
        quiet: seconds without an arrival after which the queue counts as drained. The default, 0, is one pass of the
            event loop: right where deliveries come from the same loop, too short where they come over a wire.
    """

    def __init__(self, ready: Callable[[], int], *, quiet: float = 0.0) -> None:
        self._ready = ready
        self._quiet = quiet
        self._arrival = asyncio.Event()
        self._closed = False

    def wake(self) -> None:
        """Something arrived, or there is room again."""
        self._arrival.set()

    def close(self) -> None:
        """End every ``collect``, now and later. May be called twice."""
        self._closed = True
        self.wake()

    async def collect(self, limit: int, window: float) -> int:
        """Wait for deliveries.

        Returns how many to take, 1 to ``limit``: the caller takes them before it awaits anything else, for several
        may collect at a time. 0 means closed. Cancelling it changes nothing.

        Raises:
            ValueError: ``limit`` is less than 1.
        """
        if limit < 1:
            raise ValueError("a batch takes at least one delivery")
        while not self._closed:
            if not self._ready():
                self._arrival.clear()
                await self._arrival.wait()
            elif count := await self._grown(limit, window):
                return count
        return 0

    async def _grown(self, limit: int, window: float) -> int:
        """What is ready once it is enough, grows no more, or the window has passed; 0 if others took it or closed."""
        now = asyncio.get_running_loop().time
        deadline = now() + window
        count = self._ready()
        while count < limit and now() < deadline:
            before = count
            await asyncio.sleep(self._quiet)
            count = self._ready()
            if count <= before:
                break
        return 0 if self._closed else min(count, limit)
