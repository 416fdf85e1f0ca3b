"""A backend is asked so much at a time and so much a minute; whoever finds no place waits in the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from checking_core import BackendRateLimitedError
from checking_core.plugin.budget import Budget


async def test_no_more_are_held_at_a_time_than_the_product_tolerates():
    budget, running, most = Budget(2, None), 0, 0

    async def search() -> None:
        nonlocal running, most
        async with budget.place(5.0):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(search() for _ in range(10)))
    assert most == 2


@pytest.mark.parametrize("limits", [(1, None), (None, 1)])
async def test_who_finds_no_place_is_sent_back_and_told_when_to_return(limits):
    budget = Budget(*limits)
    async with budget.place(0.01):
        with pytest.raises(BackendRateLimitedError) as told:
            async with budget.place(0.01):
                raise AssertionError("there was a place")
    assert told.value.retry_after == timedelta(minutes=1)


async def test_an_error_and_a_cancellation_give_the_place_back():
    budget = Budget(1, None)
    for error in (ValueError, asyncio.CancelledError, TimeoutError):
        with pytest.raises(error):
            async with budget.place(0.01):
                raise error
    async with budget.place(0.01):
        assert budget is not None


async def test_without_limits_everybody_has_a_place():
    budget = Budget(None, None)
    async with budget.place(0.01), budget.place(0.01):
        assert budget is not None
