"""The times of a verdict: where the time to detect went, and which misses tell how long nothing came."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from checking_core.contracts import Answer, DetectionTask, Met, Outcome, Prevention, Reason

from .conftest import Stations, hint, taken
from .test_gather import answer

Link = Callable[..., bytes]
ALERTED = {"rule": Answer.NOT_ASKED, "alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT}
MISSED = {"rule": Answer.NOT_ASKED, "alert": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}


async def task_of(stations: Stations, body: bytes) -> DetectionTask:
    """The look at the deadline, with a worker."""
    worker = await stations.serve("siem")
    await stations.accepts(body)
    stations.clock.move(1300)
    await stations.dispatch()
    (task,) = await taken(worker)
    return task


@pytest.fixture
async def task(stations: Stations, link: Link) -> DetectionTask:
    return await task_of(stations, link(detections=[hint(alert={"rule": "r"}, expect="alerted")]))


async def stored(stations: Stations, task: DetectionTask, **fields: Any) -> Any:
    await stations.gathers(answer(task, **fields))
    (result,) = await stations.results()
    return result


def after(task: DetectionTask, seconds: float) -> Any:
    assert task.execution_context.started_at is not None
    return task.execution_context.started_at + timedelta(seconds=seconds)


async def test_the_time_to_detect_is_stored_with_every_step_of_its_way(stations: Stations, task: DetectionTask) -> None:
    way = {"event_at": after(task, 1), "indexed_at": after(task, 20), "alert_at": after(task, 90)}
    result = await stored(stations, task, **ALERTED, **way)
    assert {name: result[name] for name in way} == way
    assert (result["time_to_detect_s"], result["seen_at"]) == (90, stations.clock.now)


@pytest.mark.parametrize(
    ("alert", "offset", "seconds"), [(90, 30, 60), (90, -30, 120), (-5, None, 0), (90, 1e300, 90), (90, 7200, 90)]
)
async def test_the_time_to_detect_is_on_our_clock_and_never_negative(
    stations: Stations, task: DetectionTask, alert: float, offset: float | None, seconds: float
) -> None:
    """How far the backend's clock is off is allowed for, unless it cannot be true."""
    result = await stored(stations, task, **ALERTED, alert_at=after(task, alert), clock_offset=offset)
    assert result["time_to_detect_s"] == seconds


async def test_an_alert_that_is_days_older_than_the_execution_tells_no_time(stations: Stations, task: Any) -> None:
    """It sums up what happened before as well: when it saw this nobody knows."""
    result = await stored(stations, task, **ALERTED, alert_at=after(task, -172_800))
    assert (result["outcome"], result["time_to_detect_s"]) == (Outcome.ALERTED, None)


async def test_a_clock_that_is_ahead_makes_no_alert_late(stations: Stations, task: DetectionTask) -> None:
    assert task.deadline is not None
    ahead = task.deadline + timedelta(seconds=20)
    assert (await stored(stations, task, **ALERTED, alert_at=ahead, clock_offset=30.0))["late"] is False


async def test_it_was_seen_when_it_was_seen_first(stations: Stations, link: Link) -> None:
    task = await task_of(stations, link(detections=[hint(alert={"rule": "r"}, prevention=True)]))
    first = stations.clock.now
    alerted = {**ALERTED, "prevention": Prevention.UNKNOWN}
    await stations.gathers(answer(task, **alerted, final=False))
    worker = await stations.serve("siem")
    stations.clock.move(3000)
    await stations.dispatch()
    (again,) = await taken(worker)
    await stations.gathers(answer(again, **{**alerted, "prevention": Prevention.NOT_BLOCKED}))
    assert [result["seen_at"] for result in await stations.results()] == [first, first]


async def test_what_the_control_window_and_the_agent_say_is_stored(stations: Stations, task: DetectionTask) -> None:
    result = await stored(stations, task, **ALERTED, in_control_window=True, lift=2.5, tooling=True)
    assert (result["in_control_window"], result["lift"], result["tooling"]) == (True, 2.5, True)


# --- how long nothing came ---------------------------------------------------------------------------------------


async def test_a_proven_miss_is_censored_it_tells_how_long_nothing_came(
    stations: Stations, task: DetectionTask
) -> None:
    result = await stored(stations, task, **MISSED)
    assert (result["met"], result["censored"], result["time_to_detect_s"]) == (Met.NO, True, None)


@pytest.mark.parametrize(
    "fields",
    [
        {**ALERTED},  # an alert of which the backend does not say when it was created
        {**MISSED, "alert": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE},  # nobody could look
        {**MISSED, "prevention": Prevention.BLOCKED, "outcome": Outcome.BLOCKED},  # nothing was left to see
    ],
)
async def test_what_is_no_proven_miss_is_not_censored(
    stations: Stations, task: DetectionTask, fields: dict[str, Any]
) -> None:
    assert (await stored(stations, task, **fields))["censored"] is False


@pytest.mark.parametrize("expect", ["silent", "observe", "matched"])
async def test_where_no_alert_is_wanted_none_is_missed(stations: Stations, link: Link, expect: str) -> None:
    task = await task_of(stations, link(detections=[hint(alert={"rule": "r"}, expect=expect)]))
    assert (await stored(stations, task, **MISSED))["censored"] is False


async def test_an_execution_that_failed_misses_nothing(stations: Stations, link: Link) -> None:
    body = link(link_state="ERROR", status=1, detections=[hint(alert={"rule": "r"}, expect="alerted")])
    assert (await stored(stations, await task_of(stations, body), **MISSED))["censored"] is False
