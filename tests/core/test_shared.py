"""A call that many wait for, and answers that are remembered for a while."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from tests.core.memory_product import Clock

from checking_core.plugin.shared import Call, Remembered


class Oracle:
    def __init__(self) -> None:
        self.clock = Clock()
        self.asked: list[str] = []
        self.error: Exception | None = None
        self.remembered = Remembered(self.ask, self.clock, keep=timedelta(minutes=10), most=3)

    async def ask(self, key: str) -> str | None:
        self.asked.append(key)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return key.upper() or None


async def test_an_answer_is_asked_for_once_also_by_those_who_come_together():
    oracle = Oracle()
    assert await asyncio.gather(*(oracle.remembered.get("a") for _ in range(10))) == ["A"] * 10
    assert oracle.asked == ["a"]


async def test_that_there_is_nothing_is_remembered_too():
    oracle = Oracle()
    assert [await oracle.remembered.get("") for _ in range(2)] == [None, None]
    assert oracle.asked == [""]


async def test_an_answer_is_asked_for_again_when_it_is_old():
    oracle = Oracle()
    for seconds in (0, 600, 1):
        oracle.clock.forward(seconds)
        await oracle.remembered.get("a")
    assert oracle.asked == ["a", "a"]


async def test_an_error_is_not_remembered():
    oracle = Oracle()
    oracle.error = ValueError("away")
    with pytest.raises(ValueError, match="away"):
        await oracle.remembered.get("a")
    oracle.error = None
    assert await oracle.remembered.get("a") == "A"


async def test_of_too_many_answers_the_oldest_are_forgotten():
    oracle = Oracle()
    for key in "abcd":
        await oracle.remembered.get(key)
    await oracle.remembered.get("d")
    await oracle.remembered.get("a")
    assert oracle.asked == ["a", "b", "c", "d", "a"]


async def test_a_call_that_was_given_up_is_of_no_use():
    call = Call(asyncio.Event().wait)
    waiting = asyncio.create_task(call.result())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert (call.usable, call.outcome) == (False, None)


async def test_an_error_that_nobody_waits_for_any_more_is_not_reported(caplog: pytest.LogCaptureFixture):
    ended = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("too late to matter") from None
        finally:
            ended.set()

    call = Call(stubborn)
    waiting = asyncio.create_task(call.result())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    await ended.wait()
    del call, waiting
    await asyncio.sleep(0)
    assert not caplog.records
