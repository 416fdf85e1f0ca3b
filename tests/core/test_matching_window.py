"""When the traces of an execution may lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from checking_core.contracts import Clock, Timing
from checking_core.errors import QueryInvalidError
from checking_core.matching.window import Window, Windows, windows_of
from checking_core.testing.builders import STARTED, a_context

TIMING = Timing(before=30, after=300, settle=60, deadline=600)


def at(seconds: float) -> datetime:
    return STARTED + timedelta(seconds=seconds)


def windows(*, now: datetime | None = None, activity: float = 0.0, **context: Any) -> Windows:
    """Of an execution that ran for ten seconds, on the server's clock."""
    told = {"started_at": at(0), "finished_at": at(10), "clock": Clock.SERVER, "agent_reported_time": None} | context
    return windows_of(a_context(**told), TIMING, now=now or at(700), activity=activity)


def offsets(window: Window) -> tuple[float, float]:
    return (window.start - STARTED).total_seconds(), (window.end - STARTED).total_seconds()


def test_the_windows_of_an_execution_lie_around_each_other():
    found = windows()
    assert offsets(found.run) == (0, 11)
    assert offsets(found.lived) == (-2, 13)
    assert offsets(found.accepted) == (-2, 313)
    assert offsets(found.searched) == (-32, 313)
    assert offsets(found.alerts) == (-32, 700)
    assert offsets(found.control) == (-32 - 315, -32)


@pytest.mark.parametrize(
    ("clock", "lived"), [(Clock.SERVER, (-2, 13)), (Clock.AGENT, (-2, 13)), (Clock.MESSAGE, (-60, 71))]
)
def test_a_clock_is_trusted_as_far_as_it_is_somebodys_own(clock, lived):
    assert offsets(windows(clock=clock).lived) == lived


@pytest.mark.parametrize(
    ("told", "lived"),
    [
        (0, (-2, 13)),
        (11, (-2, 13)),
        (-100, (-102, 13)),
        (111, (-2, 113)),
        (-7200, (-3600, 13)),
        (7200, (-2, 3611)),
    ],
)
def test_what_the_agents_clock_is_off_widens_the_window_to_that_side_up_to_an_hour(told, lived):
    assert offsets(windows(agent_reported_time=at(told)).lived) == lived


@pytest.mark.parametrize(
    ("told", "astray"),
    [(-3598, None), (3609, None), (-3599, 3601), (3610, 3601), (-7200, 7202)],
)
def test_a_clock_for_which_the_windows_have_no_room_is_told(told, astray):
    found = windows(agent_reported_time=at(told)).astray
    assert (found and found.total_seconds()) == astray


@pytest.mark.parametrize("clock", [Clock.AGENT, Clock.MESSAGE])
def test_skew_is_measured_against_the_servers_clock_only(clock):
    assert windows(clock=clock, agent_reported_time=at(-100)) == windows(clock=clock)


def test_what_goes_on_hides_no_skew():
    found = windows(agent_reported_time=at(111), activity=600)
    assert offsets(found.run) == (0, 600)
    assert offsets(found.lived) == (-2, 702)


def test_an_activity_shorter_than_its_command_changes_nothing():
    assert windows(activity=5) == windows()


@pytest.mark.parametrize(
    ("times", "run"),
    [
        ({"finished_at": None}, (0, 1)),
        ({"started_at": None}, (10, 11)),
        ({"started_at": None, "started_at_least": at(3)}, (3, 11)),
        ({"started_at": None, "agent_reported_time": at(4)}, (4, 11)),
        ({"started_at": None, "started_at_least": at(3), "agent_reported_time": at(4)}, (3, 11)),
        ({"started_at_least": at(3)}, (0, 11)),
        ({"started_at": at(10), "finished_at": at(0)}, (0, 11)),
        ({"started_at": None, "finished_at": None}, (700, 701)),
    ],
)
def test_missing_and_reversed_times_leave_what_they_can(times, run):
    assert offsets(windows(**times).run) == run


@pytest.mark.parametrize("name", ["started_at", "finished_at", "agent_reported_time", "operation_started_at"])
def test_a_time_without_an_offset_is_utc(name):
    moment = at(5)
    assert windows(**{name: moment.replace(tzinfo=None)}) == windows(**{name: moment})


def test_an_execution_may_be_reported_by_a_clock_that_is_a_day_ahead_and_no_more():
    now = at(10) - timedelta(days=1)
    assert windows(now=now).run == windows().run
    with pytest.raises(
        QueryInvalidError, match=r"^the execution lies in the future; correct the clock of whoever reported it$"
    ):
        windows(now=now - timedelta(seconds=1))


def test_an_end_in_the_far_future_is_refused_too():
    with pytest.raises(QueryInvalidError, match="lies in the future"):
        windows(finished_at=at(86_400 * 365))


@pytest.mark.parametrize(
    "times",
    [
        {"started_at": datetime(1, 1, 1, tzinfo=UTC), "finished_at": None},
        {"started_at": datetime(1970, 1, 1, tzinfo=UTC)},
        {"started_at": datetime(1999, 12, 31, tzinfo=UTC), "finished_at": None},
        {"started_at": at(9) - timedelta(days=30)},
        {"started_at": datetime(1, 1, 1, tzinfo=UTC), "finished_at": datetime.max.replace(tzinfo=UTC)},
    ],
)
def test_times_that_cannot_be_those_of_an_execution_are_refused(times):
    with pytest.raises(QueryInvalidError, match=r"cannot have run from .* to .*; correct|lies in the future"):
        windows(**times)


def test_an_execution_may_last_a_month_and_be_as_old_as_the_century():
    assert windows(started_at=at(10) - timedelta(days=30)).run.start == at(10) - timedelta(days=30)
    assert windows(started_at=datetime(2000, 1, 1, tzinfo=UTC), finished_at=None).run.start.year == 2000


@pytest.mark.parametrize(("now", "end"), [(100, 313), (700, 700), (313 + 86_400, 313 + 86_400), (1e6, 313 + 86_400)])
def test_alerts_are_searched_for_up_to_the_present_for_a_day(now, end):
    assert offsets(windows(now=at(now)).alerts) == (-32, end)


@pytest.mark.parametrize(
    ("operation", "end"), [(None, -32), (at(-31), -33), (at(-30), -32), (at(-29), -32), (at(-3600), -3602)]
)
def test_the_control_window_ends_before_the_operation_and_before_the_search(operation, end):
    control = windows(operation_started_at=operation).control
    assert offsets(control) == (end - 315, end)


def test_the_control_window_is_as_long_as_the_accepted_one():
    found = windows(agent_reported_time=at(-100), activity=900)
    assert found.control.end - found.control.start == found.accepted.end - found.accepted.start
    assert found.control.end <= found.searched.start


@pytest.mark.parametrize(
    ("start", "end", "held"),
    [
        (0, None, True),
        (10, None, True),
        (-1, None, False),
        (11, None, False),
        (-5, 0, True),
        (-5, -1, False),
        (10, 20, True),
        (11, 20, False),
        (-5, 20, True),
        (20, -5, True),
        (20, 11, False),
    ],
)
def test_a_window_holds_its_ends_and_any_part_of_an_interval(start, end, held):
    window = Window(at(0), at(10))
    assert window.holds(at(start), None if end is None else at(end)) is held


def test_a_window_is_widened_to_both_sides():
    assert Window(at(0), at(10)).widened(timedelta(seconds=1), timedelta(seconds=2)) == Window(at(-1), at(12))
