"""Two hundred executions on one host are asked about seven times each, and their backend hardly notices."""

from __future__ import annotations

from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import pytest
from tests.core.memory_product import Clock, MemoryDetector, an_event

from checking_core import Answer, Ask, SearchAnswer, SearchRequest
from checking_core.contracts import Timing
from checking_core.matching.looks import deadline_of, first_look, next_look
from checking_core.testing import STARTED

TIMING = Timing(before=30, after=300, settle=60, deadline=600)


class Look(NamedTuple):
    due: datetime
    execution: int
    number: int


class Watched(MemoryDetector):
    """Nothing is there but the source, which is alive; notes when the newest search of each question began."""

    def __init__(self) -> None:
        super().__init__(clock=Clock())
        self.began: dict[Ask, datetime] = {}

    async def search(self, request: SearchRequest) -> SearchAnswer:
        self.began[request.ask] = self.time.now
        answer = await super().search(request)
        beats = [{"record": an_event(id="beat", event_at=None)}] if request.ask is Ask.ALIVE else []
        return SearchAnswer(records=[*answer.records, *beats])


def ended(execution: int, seconds_between: float) -> datetime:
    return STARTED + timedelta(seconds=execution * seconds_between + 1)


async def take_all_looks(detector: Watched, executions: int, seconds_between: float) -> tuple[int, list[timedelta]]:
    """How many looks were taken, and how long after its deadline the searches had begun that proved each no."""
    ends = [ended(number, seconds_between) for number in range(executions)]
    waiting = [Look(first_look(end, TIMING, end), number, 1) for number, end in enumerate(ends)]
    heapify(waiting)
    looks, proofs = 0, []
    while waiting:
        look = heappop(waiting)
        end, detector.time.now = ends[look.execution], look.due
        deadline = deadline_of(end, TIMING)
        finding = await detector.look(
            Ask.TELEMETRY,
            Ask.ALIVE,
            started_at=end - timedelta(seconds=1),
            finished_at=end,
            timing=TIMING,
            deadline=deadline,
            deadline_passed=deadline <= look.due,
        )
        looks += 1
        assert (finding.telemetry, finding.complete) == (Answer.NO, True)
        if deadline <= look.due:
            proofs.append(min(detector.began.values()) - deadline)
        else:
            later = next_look(look.number, TIMING, end, end, look.due, due=look.due)
            heappush(waiting, Look(later, look.execution, look.number + 1))
    return looks, proofs


@pytest.mark.parametrize(("seconds_between", "most"), [(0, 14), (1, 30), (5, 100)])
async def test_the_looks_of_one_host_share_their_searches(seconds_between: float, most: int) -> None:
    detector = Watched()
    looks, proofs = await take_all_looks(detector, 200, seconds_between)
    assert looks * 2 == 2_800
    assert len(detector.requests) <= most
    assert min(proofs) >= timedelta(0)
