"""Waiting between tries: short at first, longer each time, ended at once by a stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress

__all__ = ["Pace", "first_of", "wait_for"]


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event is set, at most so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def first_of(*events: asyncio.Event, seconds: float | None = None) -> None:
    """Wait until one of the events is set, at most so long."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


class Pace:
    """Back-off for a service that is away. Seconds: 0.2, doubled each time, at most 10."""

    def __init__(self, first: float = 0.2, longest: float = 10.0) -> None:
        self._next = first
        self._longest = longest

    async def wait(self, stop: asyncio.Event) -> None:
        """Wait for the next try, or for the stop."""
        await wait_for(stop, self._next)
        self._next = min(self._next * 2, self._longest)
