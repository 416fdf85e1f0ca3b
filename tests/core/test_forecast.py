"""How much a backend will be asked: counted as its detector would ask, and measured against its budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from checking_core import Ask, BaseWorker, Event, SearchAnswer, SearchDetector, SearchRequest
from checking_core.contracts import DetectionConfig, PlannedCheck, timing_of
from checking_core.plugin.forecast import SECONDS_OF_A_SEARCH, Asked, Load, forecast
from checking_core.testing import ENDED, STARTED, FakeDetector, a_context

BOTH = {"alert": {"rule": "LSASS dump"}, "telemetry": {"query": "host=${agent_host} MiniDump"}}
LOOKS = 8


class Searching(SearchDetector):
    """Is never created: a forecast asks nobody."""

    platform = "searching"
    answers = frozenset(Ask) - {Ask.ALIVE}
    searches_at_once = None

    def __init__(self, *_: Any, **__: Any) -> None:
        raise AssertionError("created")

    async def search(self, request: SearchRequest) -> SearchAnswer:
        raise AssertionError("asked")

    def normalise(self, record: Mapping[str, Any]) -> Event:
        raise AssertionError("asked")


def asked(count: int, config: dict[str, Any] = BOTH, *, apart: float = 10, **context: Any) -> list[Asked]:
    """Checks of so many executions, one after the other."""
    return [
        Asked(
            PlannedCheck(
                id=UUID(int=number),
                expectation_id=f"check-{number}",
                detection_type="api",
                backend="siem",
                config=config,
                expect=DetectionConfig.model_validate(config).wanted,
                max_retries=1,
                timing=timing_of(DetectionConfig.model_validate(config)),
            ),
            msgspec.structs.replace(
                a_context(**context),
                started_at=STARTED + timedelta(seconds=number * apart),
                finished_at=ENDED + timedelta(seconds=number * apart),
            ),
        )
        for number in range(count)
    ]


async def load(checks: Sequence[Asked], kind: type[BaseWorker] = Searching, **attributes: Any) -> Load:
    return await forecast(type("Kind", (kind,), attributes), checks)


async def test_every_look_of_one_check_asks_each_of_its_questions():
    found = await load(asked(1))
    assert (found.checks, found.looks) == (1, LOOKS)
    assert 2 * 2 <= found.searches <= 2 * LOOKS
    assert (found.seconds, found.late, found.problems) == (None, 0.0, ())


async def test_what_looks_share_is_counted_once():
    """200 executions on one host, two questions, eight looks each: without sharing 3,200 searches."""
    found = await load(asked(200, apart=1))
    assert found.looks == 200 * LOOKS
    assert found.searches <= 40


async def test_what_they_do_not_share_is_counted_each_time():
    one_host = await load(asked(20, apart=1))
    many = [msgspec.structs.replace(one.context, agent_host=f"ws{n}") for n, one in enumerate(asked(20, apart=1))]
    hosts = [Asked(one.check, context) for one, context in zip(asked(20, apart=1), many, strict=True)]
    assert (await load(hosts)).searches > one_host.searches * 5


async def test_the_order_of_the_checks_does_not_matter():
    checks = asked(30)
    assert await load(checks) == await load(checks[::-1])


async def test_the_time_is_what_the_budget_needs_for_all_searches():
    free = await load(asked(40))
    slow = await load(asked(40), searches_per_minute=6)
    few = await load(asked(40), searches_at_once=4)
    assert slow.searches == few.searches == free.searches
    assert slow.seconds == pytest.approx(free.searches * 10)
    assert few.seconds == pytest.approx(free.searches * SECONDS_OF_A_SEARCH / 4)


async def test_a_deadline_is_late_by_the_wait_for_the_budget():
    """Sixty hosts at the same moment, two searches a minute at their deadline."""
    moment = asked(60, {"telemetry": {"query": "host=${agent_host}"}}, apart=0)
    checks = [
        Asked(one.check, msgspec.structs.replace(one.context, agent_host=f"ws{n}")) for n, one in enumerate(moment)
    ]
    assert (await load(checks, searches_per_minute=600)).late == 0
    assert (await load(checks, searches_per_minute=30)).late > 60
    assert (await load(checks, searches_at_once=1)).late > 60


async def test_a_burst_within_the_budget_waits_for_nothing():
    checks = asked(1)
    free = await load(checks)
    assert (await load(checks, searches_per_minute=free.searches)).late == 0


async def test_a_detector_that_is_no_search_is_asked_once_a_look():
    found = await forecast(type("Kind", (FakeDetector,), {"concurrency": 2}), asked(3))
    assert (found.looks, found.searches) == (3 * LOOKS, 3 * LOOKS)
    assert found.seconds == pytest.approx(3 * LOOKS * SECONDS_OF_A_SEARCH / 2)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"telemetry": {"query": "${agnt_host}"}}, "unknown placeholder ${agnt_host}; did you mean agent_host?"),
        ({"alive": {"query": "x"}}, "searching cannot answer: alive"),
        ({"telemetry": {"query": "x"}, "own": "far too long"}, "its configuration: ValidationError"),
    ],
)
async def test_a_check_that_cannot_be_asked_is_told_and_costs_nothing(config: dict[str, Any], words: str):
    class Own(DetectionConfig):
        own: int = 0

    found = await load([*asked(1, config), *asked(3)[1:]], Config=Own)
    [problem] = found.problems
    assert problem.startswith("check-0: ")
    assert words in problem
    assert found.looks == 2 * LOOKS


async def test_a_sigma_rule_is_one_question():
    found = await load(asked(10, {"sigma": "rules/dump.yml"}, apart=1))
    assert 0 < found.searches <= LOOKS + 2
