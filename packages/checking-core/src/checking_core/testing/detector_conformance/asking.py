"""How the rules of the kit ask a detector."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

import msgspec
import pytest

from checking_core.contracts import Answer, Ask, DetectionConfig, DetectionResult, ParsedResults, Timing
from checking_core.matching.record import Alert, AnyRecord, Event, Match
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.detector import SearchDetector
from checking_core.settings import WorkerSettings
from checking_core.testing.builders import ENDED, STARTED, a_task, an_execution
from checking_core.testing.detector_conformance.stage import KitClock, Relaxation, Stage
from checking_core.worker.run_task import run_task

__all__ = ["JUST_BEFORE", "Asking", "answer", "found_in", "limit_of", "parsed", "timing_with"]

JUST_BEFORE = STARTED - timedelta(seconds=20)
"""So near to the attack that it is searched, and yet not part of it."""

_KINDS: Mapping[Ask, type[Alert | Match | Event]] = {Ask.ALERT: Alert, Ask.RULE: Match}


class Asking:
    """What every rule has at hand. An author overrides the attributes and, where they do not fit, ``config``."""

    relaxed: ClassVar[Mapping[Relaxation, str]] = MappingProxyType({})
    """Rules that do not apply, each with the reason, which the test report shows."""
    query: ClassVar[str] = "MiniDump"
    """What finds the records of ``record`` in the language of the product."""
    query_with_placeholder: ClassVar[str] = "${command}"
    """A query that looks for the command of the execution."""
    page_size: ClassVar[int] = 100
    """Records of a page, where the product hands them over in pages."""

    @pytest.fixture
    def clock(self) -> KitClock:
        """The detector's time."""
        return KitClock()

    @pytest.fixture
    def detector(self, stage: Stage, clock: KitClock) -> BaseWorker:
        """The detector under test; waits take no time."""
        return stage.detector(clock=clock, sleep=_no_time)

    @pytest.fixture
    def ask(self, detector: BaseWorker) -> Ask:
        """The strongest question that the detector answers with a record."""
        return next(ask for ask in (Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE) if ask in detector.answers)

    @pytest.fixture(autouse=True)
    async def _close(self, detector: BaseWorker) -> AsyncIterator[None]:
        yield
        await detector.close()

    def config(self, ask: Ask) -> dict[str, Any]:
        """The ``detection_config`` that puts one question."""
        match ask:
            case Ask.ALERT:
                return {"alert": {"rule": "LSASS dump"}}
            case Ask.PREVENTION:
                return {"alert": {"rule": "LSASS dump"}, "prevention": True}
            case _:
                return {ask.value: {"query": self.query}}

    def record(self, ask: Ask, **changes: Any) -> AnyRecord:
        """A record that belongs to the execution of ``a_task``: on its host, at its time, with its command."""
        ours = an_execution()
        fields: dict[str, Any] = {
            "id": "record-1",
            "title": "LSASS dump",
            "hosts": (ours.agent_host,),
            "commands": (ours.command,),
            "pid": ours.pid,
            "event_at": STARTED + timedelta(milliseconds=500),
        }
        if ask is Ask.ALERT:
            fields |= {"rule": "LSASS dump", "severity": "high", "created_at": ENDED + timedelta(seconds=30)}
        return _KINDS.get(ask, Event)(**(fields | changes))

    def record_at(self, ask: Ask, moment: datetime, **changes: Any) -> AnyRecord:
        """The same at another time; an alert was raised at once."""
        created = {"created_at": moment} if ask is Ask.ALERT else {}
        return self.record(ask, event_at=moment, **created, **changes)

    async def look(self, detector: BaseWorker, ask: Ask, **task: Any) -> DetectionResult:
        """One look, later than the one before it; keywords change its task."""
        if isinstance(detector.clock, KitClock):
            detector.clock.now += timedelta(minutes=1)
        fields: dict[str, Any] = {
            "detection_platform": detector.backend,
            "backend": detector.backend,
            "detection_type": min(detector.detection_types),
            "detection_config": self.config(ask),
            "created_at": detector.clock(),
            "max_retries": 0,
        }
        return await run_task(detector, a_task(**(fields | task)), _settings())

    def needs(self, *relaxations: Relaxation) -> None:
        """Skip a test that is about something which is not there."""
        for relaxation in relaxations:
            if reason := self.relaxed.get(relaxation):
                pytest.skip(f"relaxed, {relaxation}: {reason}")

    def needs_alerts(self, detector: BaseWorker) -> None:
        """Skip a test about alerts where the detector answers none."""
        if Ask.ALERT not in detector.answers:
            pytest.skip(f"{type(detector).__name__} answers no alerts")


def answer(result: DetectionResult, ask: Ask) -> Answer:
    """What was answered to one question."""
    found: Answer = getattr(result, ask)
    return found


def found_in(result: DetectionResult) -> list[str]:
    """The ids of the evidence, the firmest first."""
    return [record.id for record in parsed(result).evidence]


def parsed(result: DetectionResult) -> ParsedResults:
    """Evidence and near misses."""
    assert isinstance(result.parsed_results, ParsedResults)
    return result.parsed_results


def limit_of(detector: BaseWorker) -> int:
    """Records that it hands over at most."""
    per_search = detector.records_per_search if isinstance(detector, SearchDetector) else 0
    return max(per_search, DetectionConfig().max_results)


def timing_with(**changes: float) -> Timing:
    """The times of ``a_task``, changed."""
    timing = a_task().timing
    assert timing is not None
    return msgspec.structs.replace(timing, **changes)


@cache
def _settings() -> WorkerSettings:
    """Made when they are first used: settings read files."""
    return WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)


async def _no_time(_: float) -> None:
    """A wait that is over at once."""
