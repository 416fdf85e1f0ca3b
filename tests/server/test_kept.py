"""Dear answers: asked once for everybody, kept in proportion to their cost, given once more while they are renewed."""

from __future__ import annotations

import asyncio

import pytest

from checking_core.errors import StoreUnavailableError
from checking_server.kept import Kept


class Counting:
    """Takes some seconds of a clock that it moves itself, and counts how often it was asked."""

    def __init__(self, cost: float) -> None:
        self.cost = cost
        self.asked = 0
        self.now = 1_000.0
        self.free = asyncio.Event()
        self.free.set()
        self.error: Exception | None = None

    def clock(self) -> float:
        return self.now

    async def __call__(self) -> int:
        self.asked += 1
        await self.free.wait()
        self.now += self.cost
        if self.error is not None:
            raise self.error
        return self.asked


def kept_of(cost: float) -> tuple[Kept, Counting]:
    ask = Counting(cost)
    return Kept(clock=ask.clock), ask


async def test_everybody_who_asks_at_once_gets_the_same_answer() -> None:
    kept, ask = kept_of(1)
    assert await asyncio.gather(*(kept.get("all", ask) for _ in range(5))) == [1] * 5
    assert ask.asked == 1


async def test_an_answer_is_kept_for_twenty_times_as_long_as_it_took() -> None:
    kept, ask = kept_of(0.1)
    await kept.get("all", ask)
    ask.now += 1.99
    assert await kept.get("all", ask) == 1
    assert ask.asked == 1


async def test_none_is_kept_as_new_for_more_than_ten_seconds() -> None:
    kept, ask = kept_of(5)
    await kept.get("all", ask)
    ask.now += 10
    await kept.get("all", ask)
    await asyncio.sleep(0)
    assert ask.asked == 2


async def test_who_has_less_patience_than_it_cost_gets_the_older_one() -> None:
    kept, ask = kept_of(0.01)
    await kept.get("all", ask, patience=0.005)
    ask.now += 5
    ask.free.clear()
    assert await kept.get("all", ask, patience=0.005) == 1
    ask.free.set()
    assert await kept.get("all", ask) == 2


async def test_an_older_one_that_is_dear_is_given_at_once_while_a_new_one_is_fetched() -> None:
    kept, ask = kept_of(0.2)
    await kept.get("all", ask)
    ask.now += 5
    ask.free.clear()
    assert await kept.get("all", ask) == 1
    ask.free.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (await kept.get("all", ask), ask.asked) == (2, 2)


async def test_after_a_minute_none_is_given_any_more() -> None:
    kept, ask = kept_of(0.1)
    await kept.get("all", ask)
    ask.now += 60
    assert await kept.get("all", ask) == 2


async def test_what_is_cheap_is_always_new() -> None:
    kept, ask = kept_of(0)
    for number in range(1, 4):
        ask.now += 60
        assert await kept.get("all", ask) == number


async def test_another_question_has_another_answer() -> None:
    kept, ask = kept_of(1)
    assert [await kept.get(question, ask) for question in ("one", "other", "one")] == [1, 2, 1]


async def test_a_failure_is_told_to_who_waits_and_asked_again_by_the_next() -> None:
    kept, ask = kept_of(1)
    ask.error = StoreUnavailableError("away")
    with pytest.raises(StoreUnavailableError):
        await kept.get("all", ask)
    ask.error = None
    assert await kept.get("all", ask) == 2


async def test_an_older_one_that_is_cheap_is_not_given_any_more() -> None:
    kept, ask = kept_of(0.1)
    await kept.get("all", ask)
    ask.now += 3
    assert await kept.get("all", ask) == 2


async def test_a_failure_behind_a_kept_answer_harms_nobody() -> None:
    kept, ask = kept_of(0.2)
    await kept.get("all", ask)
    ask.now, ask.error = ask.now + 5, StoreUnavailableError("away")
    assert await kept.get("all", ask) == 1
    await asyncio.sleep(0)
    assert (await kept.get("all", ask), ask.asked) == (1, 2)
    await kept.close()


async def test_who_goes_away_takes_the_answer_from_nobody() -> None:
    kept, ask = kept_of(1)
    ask.free.clear()
    gone, stays = (asyncio.create_task(kept.get("all", ask)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    ask.free.set()
    assert await stays == 1


async def test_closing_gives_up_what_is_being_asked() -> None:
    kept, ask = kept_of(1)
    ask.free.clear()
    waiting = asyncio.create_task(kept.get("all", ask))
    await asyncio.sleep(0)
    await kept.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_more_than_two_hundred_answers_are_kept() -> None:
    kept, ask = kept_of(0.1)
    for number in range(201):
        await kept.get(number, ask)
        ask.now -= ask.cost
    await kept.get(200, ask)
    assert ask.asked == 201
    await kept.get(0, ask)
    assert ask.asked == 202
