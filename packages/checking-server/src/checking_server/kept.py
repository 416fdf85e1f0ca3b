"""Answers that are dear, kept for a while: the dearer the longer, and never for long."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Any, NamedTuple, TypeVar

import structlog

__all__ = ["Kept"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

_TIMES_ITS_COST = 20.0
_FRESH_AT_MOST = 10.0
_PATIENCE = 0.2
"""Seconds; what takes longer is not waited for more than once."""
_GIVEN_AT_MOST = 60.0
_MOST = 200


class Kept:
    """Asks a question once for everybody who puts it, and keeps the answer for twenty times as long as it took.

    So no more than a twentieth of a database's time goes into it, however many ask, and what is cheap is always new. A
    dear answer that is older is given once more while a new one is fetched, until it is a minute old: nobody but the
    first waits for it. What fails is asked again the next time.

    Args:
        clock: seconds, for tests.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._asking: dict[Hashable, asyncio.Task[_Answer]] = {}

    async def get(self, question: Hashable, ask: Callable[[], Awaitable[T]], *, patience: float = _PATIENCE) -> T:
        """The answer, kept or new.

        Args:
            question: equal ones have the same answer.
            ask: fetches it.
            patience: seconds; an answer that took as long the last time is dear to whoever asks.

        Raises:
            CheckingError: what ``ask`` raises, while there is no answer to give.
        """
        known = self._answers.get(question)
        if known is None or self._clock() >= known.fresh_until:
            task = self._asking.get(question) or self._start(question, ask)
            if known is None or known.cost < patience or self._clock() >= known.asked_at + _GIVEN_AT_MOST:
                known = await asyncio.shield(task)
        answer: T = known.value
        return answer

    async def close(self) -> None:
        """Give up what is being asked."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, question: Hashable, ask: Callable[[], Awaitable[Any]]) -> asyncio.Task[_Answer]:
        task = asyncio.create_task(self._ask(question, ask))
        self._asking[question] = task
        task.add_done_callback(lambda done: self._ended(question, done))
        return task

    async def _ask(self, question: Hashable, ask: Callable[[], Awaitable[Any]]) -> _Answer:
        asked_at = self._clock()
        value = await ask()
        now = self._clock()
        cost = now - asked_at
        kept_for = min(_TIMES_ITS_COST * cost, _FRESH_AT_MOST)
        answer = self._answers[question] = _Answer(value, asked_at, now + kept_for, cost)
        self._answers.move_to_end(question)
        if len(self._answers) > _MOST:
            self._answers.popitem(last=False)
        return answer

    def _ended(self, question: Hashable, task: asyncio.Task[_Answer]) -> None:
        del self._asking[question]
        if not task.cancelled() and (error := task.exception()) is not None:  # whoever waited for it was told as well
            log.warning("not_counted", error_type=type(error).__name__, problem=str(error))


class _Answer(NamedTuple):
    value: Any
    asked_at: float
    fresh_until: float
    cost: float
