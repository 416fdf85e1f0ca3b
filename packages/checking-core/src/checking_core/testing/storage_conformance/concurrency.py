"""Rules for what happens at the same time, is broken off, or is read meanwhile."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa

from checking_core.contracts import CheckStatus
from checking_core.storage import Store, UnitOfWork
from checking_core.storage.tables import detection_executions
from checking_core.testing.storage_conformance.rows import (
    answer,
    claim,
    plan,
    planned,
    release,
    statuses,
    stored_checks,
)

__all__ = ["ConcurrencyRules"]

_TASKS, _ROUNDS = 8, 25


class ConcurrencyRules:
    """Locks, transactions, snapshots."""

    async def test_batches_over_the_same_checks_in_opposite_order_do_not_deadlock(
        self, store: Store, second_store: Store
    ) -> None:
        ids = await planned(store, 40)
        async with asyncio.timeout(60):
            for _ in range(10):
                await asyncio.gather(
                    *(_count(one, order) for one in (store, second_store) for order in (ids, ids[::-1]))
                )
        assert [row["retry_count"] for row in await stored_checks(store, ids)] == [40] * 40

    async def test_gathering_planning_and_releasing_the_same_checks_do_not_deadlock(
        self, store: Store, second_store: Store
    ) -> None:
        ids = await planned(store, 40)
        rows = [dict(row) for row in await stored_checks(store, ids)]
        await claim(store)
        async with asyncio.timeout(60):
            for _ in range(10):
                await asyncio.gather(
                    _count(store, ids),
                    plan(second_store, rows[::-1]),
                    release(second_store, sorted(ids, reverse=True), due=0),
                    claim(store),
                    _count(second_store, ids[::-1]),
                )
        assert [row["retry_count"] for row in await stored_checks(store, ids)] == [20] * 40

    async def test_reading_then_writing_loses_no_update(self, store: Store, second_store: Store) -> None:
        ids = await planned(store, 1)

        async def work(one: Store) -> None:
            for _ in range(_ROUNDS):
                await _count(one, ids)

        await asyncio.gather(*(work(one) for one in (store, second_store) * (_TASKS // 2)))
        (row,) = await stored_checks(store, ids)
        assert row["retry_count"] == _TASKS * _ROUNDS

    async def test_a_transaction_that_raises_writes_nothing(self, store: Store) -> None:
        ids = await planned(store, 1)
        with pytest.raises(RuntimeError, match="changed my mind"):
            await _settle_and_raise(store, ids)
        assert await statuses(store, ids) == [CheckStatus.PENDING]

    async def test_a_cancelled_transaction_writes_nothing_and_leaves_the_store_usable(self, store: Store) -> None:
        ids = await planned(store, 1)
        for statements in range(4):
            inside = asyncio.Event()
            task = asyncio.create_task(_settle_for_ever(store, ids, inside))
            await inside.wait()
            for _ in range(statements):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await statuses(store, ids) == [CheckStatus.PENDING]
        await claim(store)
        assert await statuses(store, ids) == [CheckStatus.DISPATCHED]

    async def test_a_reader_sees_one_snapshot(self, store: Store) -> None:
        await planned(store, 1)
        async with store.read() as uow:
            before = await _counted(uow)
            await planned(store, 2)
            assert await _counted(uow) == before == 1
        async with store.read() as uow:
            assert await _counted(uow) == 3


async def _count(store: Store, ids: Sequence[UUID]) -> None:
    """Read, then write what was read plus one, in the order of the ids."""
    async with store.begin() as uow:
        locked = await uow.checks.lock(ids)
        await uow.checks.settle_batch(
            [{"id": key, "retry_count": locked[key]["retry_count"] + 1, "status": locked[key]["status"]} for key in ids]
        )


async def _settle_and_raise(store: Store, ids: Sequence[UUID]) -> None:
    async with store.begin() as uow:
        await uow.checks.lock(ids)
        await uow.checks.settle_batch([answer(key) for key in ids])
        raise RuntimeError("changed my mind")


async def _settle_for_ever(store: Store, ids: Sequence[UUID], inside: asyncio.Event) -> None:
    async with store.begin() as uow:
        await uow.checks.lock(ids)
        while True:
            await uow.checks.settle_batch([answer(key) for key in ids])
            inside.set()


async def _counted(uow: UnitOfWork) -> int:
    query = sa.select(sa.func.count()).select_from(detection_executions)
    count: int = (await uow.connection.execute(query)).scalar_one()
    return count
