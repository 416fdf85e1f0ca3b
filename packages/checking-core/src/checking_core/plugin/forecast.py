"""How much a backend will be asked, before anything runs: every look of a plan is taken, with nobody at the other end.

Searches are counted where they would leave, so that what looks share is shared here too. It is the most that can come:
every check waits in vain until its deadline. Only what a hit brings is left out, the control window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from heapq import heapify, heapreplace
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from checking_core.contracts import DetectionConfig, DetectionTask, ExecutionContext, PlannedCheck, task_id_of
from checking_core.errors import CheckingError, FatalDetectionError
from checking_core.matching.looks import deadline_of, first_look, next_look
from checking_core.matching.record import AnyRecord
from checking_core.plugin.base import BaseWorker, NoSettings
from checking_core.plugin.detector import SearchDetector
from checking_core.plugin.loader import foreign
from checking_core.plugin.search import SearchAnswer, SearchRequest

__all__ = ["SECONDS_OF_A_SEARCH", "Asked", "Load", "forecast"]

SECONDS_OF_A_SEARCH = 2.0
"""How long a search is taken to need: nobody knows before."""

_NOWHERE = UUID(int=0)


class Asked(NamedTuple):
    """A check, and the execution it is about."""

    check: PlannedCheck
    context: ExecutionContext


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """The most that a backend will be asked.

    ``seconds`` is the time that its budget needs for all searches, ``None`` where it has none; ``late`` is how long, in
    seconds, a search waits for its turn that should begin at a deadline. ``problems`` tell in words which checks cannot
    be asked at all.
    """

    checks: int
    looks: int
    searches: int
    seconds: float | None
    late: float
    problems: tuple[str, ...] = ()


class _Look(NamedTuple):
    moment: datetime
    number: int
    asked: Asked
    is_last: bool


async def forecast(detector: type[BaseWorker], asked: Sequence[Asked]) -> Load:
    """Take every look of some checks of one backend, as if their executions ran now.

    Args:
        detector: what serves the backend; it is never created.
        asked: the checks that will be dispatched.
    """
    rehearsal, queue = _rehearsal_of(detector), _Queue(*_budget_of(detector))
    problems: dict[UUID, str] = {}
    looks = searches = 0
    late = 0.0
    for look in sorted((look for one in asked for look in _looks(one)), key=lambda look: look.moment):
        check = look.asked.check
        if check.id in problems:
            continue
        try:
            count = await rehearsal.searches(look, detector)
        except CheckingError as error:
            problems[check.id] = f"{check.expectation_id or check.backend}: {error}"
            continue
        looks += 1
        searches += count
        waits = [queue.wait(look.moment.timestamp()) for _ in range(count)]
        late = max(late, *waits) if look.is_last and waits else late
    return Load(
        checks=len(asked),
        looks=looks,
        searches=searches,
        seconds=queue.seconds(searches),
        late=late,
        problems=tuple(dict.fromkeys(problems.values())),
    )


def _looks(asked: Asked) -> Iterator[_Look]:
    """The looks of a check that never sees anything."""
    timing, context = asked.check.timing, asked.context
    ended = context.finished_at or context.started_at
    assert ended is not None  # noqa: S101 - an execution that was told has a start
    deadline, moment, number = deadline_of(ended, timing), first_look(ended, timing, ended), 1
    while moment < deadline:
        yield _Look(moment, number, asked, is_last=False)
        later = next_look(number, timing, ended, ended, moment, due=moment)
        assert later is not None  # noqa: S101 - before the deadline there is always a next one
        moment, number = later, number + 1
    yield _Look(moment, number, asked, is_last=True)


class _Rehearsal(SearchDetector):
    """Counts the searches of looks that find nothing."""

    platform = "rehearsal"
    searches_at_once = None

    def __init__(self) -> None:
        self._now = datetime.fromtimestamp(0, UTC)
        self._count = 0
        super().__init__("rehearsal", NoSettings(), clock=lambda: self._now)

    async def searches(self, look: _Look, detector: type[BaseWorker]) -> int:
        """How many searches leave for this look.

        Raises:
            CheckingError: it cannot be asked.
        """
        check = look.asked.check
        config: DetectionConfig = foreign("its configuration", partial(detector.Config.model_validate, check.config))
        if missing := config.asks - detector.answers:
            raise FatalDetectionError(f"{detector.platform} cannot answer: {', '.join(sorted(missing))}")
        if not issubclass(detector, SearchDetector):
            return 1
        self._now, before = look.moment, self._count
        await self.detect(_task(look))
        return self._count - before

    async def search(self, request: SearchRequest) -> SearchAnswer:  # noqa: ARG002
        self._count += 1
        return SearchAnswer(records=())

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        raise AssertionError(f"nothing was found, so nothing is translated: {record!r:.80}")

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002
        return "\n".join(values)

    def convert(self, sigma: str | dict[str, Any]) -> str:
        return str(sigma)


def _rehearsal_of(detector: type[BaseWorker]) -> _Rehearsal:
    """One that shares answers as this detector would."""
    same = ("Config", "share_for", "records_per_search")
    kept = {name: getattr(detector, name) for name in same if hasattr(detector, name)}
    kind: type[_Rehearsal] = type("_Rehearsal", (_Rehearsal,), kept)
    return kind()


def _task(look: _Look) -> DetectionTask:
    check, context = look.asked
    ended = context.finished_at or context.started_at
    assert ended is not None  # noqa: S101 - as above
    return DetectionTask(
        task_id=task_id_of(check.id, look.number),
        detection_execution_id=check.id,
        operation_id=_NOWHERE,
        detection_type=check.detection_type,
        detection_platform=check.backend,
        detection_config=check.config,
        created_at=look.moment,
        execution_context=context,
        look=look.number,
        deadline=deadline_of(ended, check.timing),
        deadline_passed=look.is_last,
        backend=check.backend,
        timing=check.timing,
    )


def _budget_of(detector: type[BaseWorker]) -> tuple[int | None, float | None]:
    """Searches at a time, and a minute; a detector that is no search has its attempts for that."""
    if issubclass(detector, SearchDetector):
        return detector.searches_at_once, detector.searches_per_minute
    return detector.concurrency, None


class _Queue:
    """When a search begins that has to wait for its turn, as the budget of a backend lets them pass."""

    def __init__(self, at_once: int | None, per_minute: float | None) -> None:
        self._free = [0.0] * (at_once or 0)
        heapify(self._free)
        self._gap = 60 / per_minute if per_minute else 0.0
        self._due = 0.0
        self._pace = max(self._gap, SECONDS_OF_A_SEARCH / at_once if at_once else 0.0)

    def wait(self, moment: float) -> float:
        """Seconds that a search waits which is wanted at this moment; calls come in the order of time."""
        begins = max(moment, self._due - (60 - self._gap), self._free[0] if self._free else 0.0)
        self._due = max(self._due, begins) + self._gap
        if self._free:
            heapreplace(self._free, begins + SECONDS_OF_A_SEARCH)
        return begins - moment

    def seconds(self, searches: int) -> float | None:
        """The time that so many need, one after the other."""
        return searches * self._pace if self._pace else None
