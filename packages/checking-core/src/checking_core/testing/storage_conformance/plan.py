"""Rules of planning: a check is stored once, and opened again only if nothing had run."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from uuid import uuid4

from checking_core.contracts import CheckStatus, Outcome
from checking_core.storage import Store
from checking_core.storage.tables import detection_executions, operations
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    accept,
    at,
    check_row,
    dump,
    link_message,
    not_run,
    plan,
    planned,
    result_row,
    statuses,
    stored_checks,
)

__all__ = ["PlanRules"]


class PlanRules:
    """Checks, as accept plans them."""

    async def test_planning_twice_changes_nothing(self, store: Store, clock: MovableClock) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        row = check_row(message)
        assert await plan(store, [row]) == {row["id"]}
        before = await dump(store, detection_executions)
        clock.move_to(100)
        assert await plan(store, [{**row, "available_at": at(500), "created_at": at(100)}]) == set()
        assert await dump(store, detection_executions) == before
        assert {name: before[row["id"]][name] for name in row} == row

    async def test_a_check_that_was_not_run_opens_when_its_execution_ran(self, store: Store) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        row = {**check_row(message, due=30), "created_at": at(20)}
        assert await plan(store, [not_run({**row, "created_at": at(0)})]) == {row["id"]}
        assert await plan(store, [row]) == {row["id"]}
        (stored,) = await stored_checks(store, [row["id"]])
        assert {name: stored[name] for name in row} == row

    async def test_an_opened_check_asks_what_is_planned_now(self, store: Store) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        row = {**check_row(message), "detection_config": {"rule": {"query": "new"}}, "max_retries": 3}
        await plan(store, [not_run(check_row(message))])
        await plan(store, [row])
        (stored,) = await stored_checks(store, [row["id"]])
        assert (stored["detection_config"], stored["max_retries"]) == (row["detection_config"], 3)

    async def test_the_deadline_of_an_open_check_moves_with_its_execution(self, store: Store) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        row = check_row(message)
        closed = {**row, "id": uuid4(), "status": CheckStatus.COMPLETED, "outcome": Outcome.ALERTED}
        await plan(store, [row, closed])
        before = await dump(store, detection_executions)
        moved = {"deadline": at(9000), "available_at": at(500), "created_at": at(100), "max_retries": 7}
        assert await plan(store, [{**row, **moved}, {**row, **moved, "id": closed["id"]}]) == {row["id"]}
        after = await dump(store, detection_executions)
        assert after == {**before, row["id"]: {**before[row["id"]], "deadline": at(9000)}}

    async def test_a_check_is_not_closed_by_news_that_nothing_ran(self, store: Store) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        await plan(store, [check_row(message)])
        assert await plan(store, [not_run(check_row(message))]) == set()
        assert await statuses(store, [check_row(message)["id"]]) == [CheckStatus.PENDING]

    async def test_a_check_with_a_verdict_is_not_opened_again(self, store: Store) -> None:
        message = link_message(uuid4())
        await accept(store, [message])
        row = check_row(message)
        closed = {**row, "status": CheckStatus.COMPLETED, "outcome": Outcome.ALERTED}
        await plan(store, [closed])
        assert await plan(store, [row]) == set()
        assert await statuses(store, [row["id"]]) == [CheckStatus.COMPLETED]

    async def test_a_check_planned_twice_in_a_batch_is_stored_once_and_open(self, store: Store) -> None:
        operation_id = uuid4()
        messages = [link_message(operation_id, link) for link in range(2)]
        await accept(store, messages)
        one, other = map(check_row, messages)
        assert await plan(store, [one, not_run(one), not_run(other), other]) == {one["id"], other["id"]}
        assert await statuses(store, [one["id"], other["id"]]) == [CheckStatus.PENDING] * 2

    async def test_two_who_plan_the_same_checks_store_each_once(self, store: Store, second_store: Store) -> None:
        for _ in range(5):
            operation_id = uuid4()
            messages = [link_message(operation_id, link) for link in range(40)]
            await accept(store, messages)
            rows = [check_row(message) for message in messages]
            written = await asyncio.gather(
                *(plan(one, batch) for one in (store, second_store) for batch in (rows, rows[::-1]))
            )
            assert sorted(map(len, written)) == [0, 0, 0, 40]

    async def test_an_empty_batch_is_no_work(self, store: Store) -> None:
        async with store.begin() as uow:
            assert await uow.operations.accept_batch([]) == set()
            assert await uow.executions.accept_batch([]) == {}
            assert await uow.checks.plan_batch([]) == set()
            assert await uow.checks.lock([]) == {}
            assert await uow.executions.by_ids([]) == {}
            await uow.checks.settle_batch([])
            await uow.checks.release_batch([])
            await uow.results.add_batch([])
            await uow.claims.replace([], [])
            await uow.dead_letters.add_batch([])

    async def test_what_belongs_to_an_operation_goes_with_it(self, store: Store) -> None:
        (check_id,) = await planned(store, 1)
        (check,) = await stored_checks(store, [check_id])
        async with store.begin() as uow:
            await uow.results.add_batch([result_row(check)])
            await uow.connection.execute(operations.delete())
        assert await dump(store) == {}
        assert await dump(store, detection_executions) == {}
