"""Tasks that came back again and again: one of them may be what ended the processes that had it.

Such a task takes with it all that are on loan beside it, and each of them counts one more delivery, until the broker
gives all of them up. So that the others get out before it, suspects are run one at a time.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import structlog

from checking_core.transport.base import Delivery

__all__ = ["Suspects"]

log = structlog.get_logger(__name__)

_FROM = 2  # deliveries before; one is explained by a worker that was killed, or by a broker that was started again
_TOGETHER = 0.2  # seconds within which those arrive that were on loan together


class _Place(NamedTuple):
    """Where a suspect stands in the row: the one with the lowest place is next."""

    tries: int
    rank: int


class Suspects:
    """The row of a process, for all of its queues: the culprit ends the whole process.

    Args:
        together: seconds that the first of a row waits for the others.
    """

    def __init__(self, *, together: float = _TOGETHER) -> None:
        self._together = together
        self._row: dict[Delivery, tuple[_Place, asyncio.Event]] = {}
        self._running: Delivery | None = None
        self._arrivals = 0

    async def enter(self, delivery: Delivery) -> None:
        """Return when this delivery's task may be run: at once, unless it is a suspect."""
        if delivery.tries < _FROM:
            return
        turn = asyncio.Event()
        self._row[delivery] = self._place(delivery), turn
        await asyncio.sleep(self._together)
        self._advance()
        if not turn.is_set():
            await turn.wait()
        log.warning("task_runs_alone", queue=delivery.queue, delivered_before=delivery.tries)

    def leave(self, delivery: Delivery) -> None:
        """This delivery is settled or given back. Nothing, if it was no suspect."""
        if self._row.pop(delivery, None) is not None and self._running is delivery:
            self._running = None
            self._advance()

    def _place(self, delivery: Delivery) -> _Place:
        """In their order the first time, against it the next: who stood behind the culprit then stands before it."""
        self._arrivals += 1
        return _Place(delivery.tries, self._arrivals if delivery.tries % 2 == 0 else -self._arrivals)

    def _advance(self) -> None:
        if self._running is None and self._row:
            self._running = min(self._row, key=lambda one: self._row[one][0])
            self._row[self._running][1].set()
