"""Token buckets: nobody gets more than their share, and nobody who waits is forgotten for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from checking_server.api.rate import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10), st.floats(1, 600))
def test_in_any_span_nobody_gets_more_than_the_burst_and_what_came_back(pauses, burst, per_minute):
    clock = Clock()
    buckets = Buckets(per_minute, burst=burst, clock=clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += buckets.take("one") == 0
        assert taken <= burst + clock.now * per_minute / 60 + 1e-6


def test_after_the_wait_that_was_told_there_is_a_token():
    clock = Clock()
    buckets = Buckets(60, burst=2, clock=clock)
    assert [buckets.take("one"), buckets.take("one"), buckets.take("one")] == [0, 0, 1]
    clock.now += 0.5
    assert (buckets.take("one"), buckets.take("other")) == (0.5, 0)
    clock.now += 0.5
    assert buckets.take("one") == 0


def test_looking_takes_nothing():
    buckets = Buckets(1, burst=1, clock=Clock())
    assert [buckets.wait("one"), buckets.wait("one"), buckets.take("one")] == [0, 0, 0]
    assert buckets.wait("one") == 60


def test_without_a_limit_nobody_waits():
    buckets = Buckets(0, burst=0, clock=Clock())
    assert {buckets.take("one") for _ in range(100)} == {0}


def test_names_that_nobody_uses_any_more_and_names_beyond_the_most_are_forgotten():
    clock = Clock()
    buckets = Buckets(60, burst=1, most=3, clock=clock)
    for number in range(100):
        buckets.take(f"{number}")
    assert len(buckets._left) == 3
    clock.now += 60
    buckets.take("late")
    assert list(buckets._left) == ["late"]
