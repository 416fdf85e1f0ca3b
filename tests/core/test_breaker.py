"""A backend that is away is spared, and found again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.memory_product import Clock

from checking_core import BackendUnreachableError
from checking_core.plugin.breaker import CircuitBreaker


def is_open(breaker: CircuitBreaker) -> bool:
    try:
        breaker.check()
    except BackendUnreachableError:
        return True
    return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, threshold=3, longest=timedelta(seconds=50))


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_a_row_of_outages_and_says_for_how_long(breaker):
    fail(breaker, 2)
    assert not is_open(breaker)
    fail(breaker, 1)
    with pytest.raises(BackendUnreachableError, match="3 questions in a row failed; not asked again for 15 s") as told:
        breaker.check()
    assert told.value.retry_after == timedelta(seconds=15)


def test_an_answer_between_two_outages_breaks_the_row(breaker):
    fail(breaker, 2)
    breaker.answered()
    fail(breaker, 2)
    assert not is_open(breaker)


def test_after_the_pause_one_question_is_let_through(breaker, clock):
    fail(breaker, 3)
    clock.forward(15)
    assert (is_open(breaker), is_open(breaker)) == (False, True)
    breaker.answered()
    assert not is_open(breaker)


def test_the_pause_doubles_with_every_probe_that_fails_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    for pause in (15, 30, 50, 50):
        clock.forward(pause - 1)
        assert is_open(breaker)
        clock.forward(1)
        assert not is_open(breaker)
        breaker.failed()


def test_questions_that_were_under_way_when_it_opened_change_nothing(breaker, clock):
    fail(breaker, 10)
    clock.forward(15)
    assert not is_open(breaker)


def test_a_probe_that_never_comes_back_is_followed_by_another(breaker, clock):
    fail(breaker, 3)
    clock.forward(15)
    assert not is_open(breaker)
    clock.forward(15)
    assert not is_open(breaker)
