"""Tasks that came back again and again run one at a time, in an order that gets the innocent out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.transport import Message
from checking_core.transport.memory import MemoryDelivery
from checking_core.worker.suspects import Suspects

LIMIT = 3


def loan(*tries: int) -> list[MemoryDelivery]:
    """Deliveries that are on loan together, in the order of their queue."""
    return [MemoryDelivery(Message(body=b"", message_id=str(n)), "tasks", many) for n, many in enumerate(tries)]


async def entered(suspects: Suspects, deliveries: Sequence[MemoryDelivery]) -> list[MemoryDelivery]:
    """Those that may run, in the order in which they were let in, before any of them has left."""
    inside: list[MemoryDelivery] = []

    async def enter(delivery: MemoryDelivery) -> None:
        await suspects.enter(delivery)
        inside.append(delivery)

    tasks = [asyncio.create_task(enter(delivery)) for delivery in deliveries]
    for _ in range(10):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    return inside


async def one_by_one(deliveries: Sequence[MemoryDelivery]) -> list[MemoryDelivery]:
    """All of them in the order in which they run, when each leaves before anyone else is let in."""
    suspects, order = Suspects(together=0), list[MemoryDelivery]()

    async def run(delivery: MemoryDelivery) -> None:
        await suspects.enter(delivery)
        order.append(delivery)
        await asyncio.sleep(0)
        assert order[-1] is delivery
        suspects.leave(delivery)

    await asyncio.gather(*(run(delivery) for delivery in deliveries))
    return order


async def test_what_came_for_the_first_or_second_time_runs_side_by_side():
    deliveries = loan(0, 1, 0, 1)
    assert await entered(Suspects(together=0), deliveries) == deliveries


@pytest.mark.parametrize("tries", [2, 3, 4])
async def test_of_those_that_came_more_often_one_runs_at_a_time(tries: int):
    suspects, deliveries = Suspects(together=0), loan(tries, tries, 0)
    inside = await entered(suspects, deliveries)
    assert deliveries[2] in inside
    assert len(inside) == 2


async def test_the_third_time_they_run_in_their_order_and_the_fourth_time_against_it():
    third, fourth = loan(2, 2, 2), loan(3, 3, 3)
    assert await one_by_one(third) == third
    assert await one_by_one(fourth) == fourth[::-1]


async def test_who_came_less_often_goes_first():
    deliveries = loan(3, 2, 3, 2)
    assert [delivery.tries for delivery in await one_by_one(deliveries)] == [2, 2, 3, 3]


async def test_one_that_is_given_back_lets_the_next_in():
    suspects, (first, second) = Suspects(together=0), loan(2, 2)
    waiting = [asyncio.create_task(suspects.enter(delivery)) for delivery in (first, second)]
    await waiting[0]
    suspects.leave(first)
    suspects.leave(first)
    await waiting[1]
    suspects.leave(second)
    assert await entered(suspects, loan(2)) != []


async def test_one_that_is_given_back_while_it_waits_is_not_waited_for():
    suspects, (first, second, third) = Suspects(together=0), loan(2, 2, 2)
    waiting = [asyncio.create_task(suspects.enter(delivery)) for delivery in (first, second, third)]
    await waiting[0]
    suspects.leave(second)
    waiting[1].cancel()
    suspects.leave(first)
    await waiting[2]
    assert waiting[1].cancelling()


@given(st.integers(1, 20), st.data())
async def test_whoever_was_on_loan_beside_one_culprit_is_out_before_it_is_given_up(size: int, data: st.DataObject):
    """Side by side nobody gets out before the culprit; one at a time, those that run before it do."""
    culprit = data.draw(st.integers(0, size - 1))
    left = [str(n) for n in range(size)]
    for tries in range(2, LIMIT + 1):
        deliveries = [MemoryDelivery(Message(body=b"", message_id=name), "tasks", tries) for name in left]
        order = [delivery.message.message_id for delivery in await one_by_one(deliveries)]
        out = order[: order.index(str(culprit))]
        left = [name for name in left if name not in out]
    assert left == [str(culprit)]
