"""When a check is asked again: growing intervals, one look at the deadline, patience with an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import Timing
from checking_core.matching.looks import MAX_LOOKS, OUTAGE_PATIENCE, deadline_of, first_look, next_look

ENDED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ALERT = Timing(before=30, after=900, settle=60, deadline=1200)

spans = st.floats(0, 30 * 86_400)
timings = st.builds(
    lambda settle, extra, poll: Timing(
        before=30, after=300, settle=settle, deadline=settle + extra, poll_interval=poll
    ),
    st.floats(0, 86_400),
    st.floats(0, 86_400),
    st.floats(0, 86_400),
)


def after(seconds: float) -> datetime:
    return ENDED + timedelta(seconds=seconds)


def looks(timing: Timing, *, accepted: datetime, took: float = 0.0, outage: bool = False) -> list[datetime]:
    """When the looks of a check begin that never brings a yes; each takes ``took`` seconds."""
    begun = [first_look(ENDED, timing, accepted)]
    while outage or begun[-1] < deadline_of(ENDED, timing):
        now = begun[-1] + timedelta(seconds=took)
        due = next_look(len(begun), timing, ENDED, accepted, now, due=begun[-1])
        if due is None:
            break
        begun.append(due)
        assert len(begun) < 100, "the looks do not end"
    return begun


def test_looks_come_after_settling_then_double_and_end_at_the_deadline():
    begun = looks(ALERT, accepted=after(2))
    assert [(look - ENDED).total_seconds() for look in begun] == [60, 75, 105, 165, 285, 525, 1005, 1200]


@pytest.mark.parametrize(
    ("ended", "deadline", "last"),
    [
        (0, 1200, 1200),
        (1, 1200, 1260),
        (59, 1200, 1260),
        (60, 1200, 1260),
        (7, 100, 110),
        (5, 100, 110),
        (10, 100, 110),
        (0.5, 5, 5.5),
        (0.25, 5, 5.5),
    ],
)
def test_the_last_looks_of_several_checks_come_together_in_the_minute_after_their_deadlines(ended, deadline, last):
    timing = Timing(before=30, after=900, settle=0, deadline=deadline)
    now = after(ended + deadline - 0.001)
    assert next_look(MAX_LOOKS, timing, after(ended), after(ended), now, due=now) == after(last)


def test_a_check_without_any_patience_is_asked_again_when_its_execution_ends():
    timing = Timing(before=30, after=900, settle=0, deadline=0)
    assert next_look(1, timing, after(10), ENDED, after(0), due=after(0)) == after(10)


def test_the_look_before_the_last_is_the_eighth_at_most():
    assert next_look(MAX_LOOKS - 2, ALERT, ENDED, ENDED, after(60), due=after(60)) == after(60 + 15 * 2**5)
    assert next_look(MAX_LOOKS - 1, ALERT, ENDED, ENDED, after(60), due=after(60)) == after(1200)


@given(st.integers(1, 86_400), st.lists(st.integers(0, 59), min_size=2, max_size=5))
def test_the_last_looks_of_checks_that_end_within_a_minute_come_together(deadline, seconds):
    timing, lasts = Timing(before=30, after=300, settle=0, deadline=deadline), set()
    for ended in (ENDED + timedelta(seconds=number) for number in seconds):
        last = next_look(MAX_LOOKS - 1, timing, ended, ended, ended, due=ended)
        assert timedelta(0) <= last - deadline_of(ended, timing) <= timedelta(seconds=min(60, deadline / 10))
        lasts.add(last)
    assert len(lasts) <= 2 or deadline < 600


def test_a_deadline_already_past_on_acceptance_means_one_look_at_once():
    accepted = after(86_400)
    assert looks(ALERT, accepted=accepted) == [accepted]


def test_a_look_that_began_before_the_deadline_and_was_answered_after_it_owes_one_more_at_once():
    assert next_look(1, ALERT, ENDED, ENDED, after(1230), due=after(1190)) == after(1230)


def test_an_outage_after_the_deadline_is_waited_for_as_long_as_promised():
    accepted = after(86_400)
    begun = looks(ALERT, accepted=accepted, outage=True)
    assert begun[-1] == accepted + OUTAGE_PATIENCE
    assert next_look(len(begun), ALERT, ENDED, accepted, begun[-1], due=begun[-1]) is None


def test_a_patient_server_waits_longer():
    accepted = after(86_400)
    due = next_look(9, ALERT, ENDED, accepted, accepted + OUTAGE_PATIENCE, due=accepted, patience=timedelta(hours=2))
    assert due is not None


def test_a_backend_that_asks_for_time_gets_it_up_to_the_deadline_or_the_end_of_patience():
    def again(now: float, *, due: float, retry_after: float) -> float:
        moment = next_look(1, ALERT, ENDED, after(0), after(now), due=after(due), retry_after=retry_after)
        assert moment is not None
        return (moment - ENDED).total_seconds()

    accepted_late = next_look(1, ALERT, ENDED, after(5000), after(5000), due=after(5000), retry_after=120)
    assert again(60, due=60, retry_after=120) == 180
    assert again(60, due=60, retry_after=5) == 75, "the interval is longer"
    assert again(60, due=60, retry_after=1e18) == 1200
    assert again(1210, due=1190, retry_after=120) == 1210, "nobody waits beyond the end of patience"
    assert accepted_late == after(5120)


@given(timings, spans, st.floats(0, 600))
def test_a_check_that_sees_nothing_is_asked_a_bounded_number_of_times_and_last_after_its_deadline(timing, late, took):
    begun = looks(timing, accepted=after(late), took=took)
    assert len(begun) <= MAX_LOOKS + 1
    assert begun[-1] >= deadline_of(ENDED, timing)
    assert [look for look in begun if look < deadline_of(ENDED, timing)] == begun[:-1]


@given(timings, spans, st.floats(0, 600))
def test_an_outage_ends_and_never_before_the_deadline(timing, late, took):
    begun = looks(timing, accepted=after(late), took=took, outage=True)
    assert begun[-1] >= deadline_of(ENDED, timing)


@given(timings, spans)
def test_intervals_never_shrink_except_the_one_clipped_to_the_deadline(timing, late):
    begun = looks(timing, accepted=after(late))
    intervals = [later - earlier for earlier, later in pairwise(begun)][:-1]
    assert intervals == sorted(intervals)


@given(timings, spans, st.integers(1, 10_000), spans, spans, st.floats(0, 1e18))
def test_a_look_is_never_due_in_the_past(timing, late, look, now, due, retry_after):
    accepted = after(late)
    again = next_look(look, timing, ENDED, accepted, after(now), due=after(due), retry_after=retry_after)
    assert again is None or again >= after(now)
    assert first_look(ENDED, timing, after(now)) >= after(now)
