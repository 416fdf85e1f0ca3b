"""A detector that does what its script says: for tests of what stands around a detector."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeAlias

from checking_core.contracts import Answer, Ask, DetectionTask
from checking_core.plugin.base import BaseWorker, NoSettings
from checking_core.plugin.finding import Finding

__all__ = ["FakeDetector", "Step", "hang"]

Step: TypeAlias = Finding | BaseException | Callable[[DetectionTask], Awaitable[Any]]
"""One attempt: what is returned, raised, or awaited with the task."""


async def hang(_: DetectionTask) -> Finding:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class FakeDetector(BaseWorker):
    """Takes one step of its script with each attempt, then repeats the last one.

    Args:
        script: the steps; without any it finds an alert.
        backend: name of the backend it serves.

    Attributes:
        asked: the tasks of all attempts, in their order.
        slept: the seconds of every wait; none of them really passes.
    """

    platform = "fake"
    detection_types = frozenset({"api"})
    answers = frozenset(Ask)

    def __init__(self, script: Sequence[Step] = (), *, backend: str = "mock") -> None:
        super().__init__(backend, NoSettings(), random=Random(1), sleep=self._nap)  # noqa: S311
        self.asked: list[DetectionTask] = []
        self.slept: list[float] = []
        self._script = list(script) or [Finding(alert=Answer.YES)]

    async def detect(self, task: DetectionTask) -> Finding:
        """Take the next step."""
        self.asked.append(task)
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, Finding):
            return step
        found: Finding = await step(task)
        return found

    async def _nap(self, seconds: float) -> None:
        self.slept.append(seconds)
