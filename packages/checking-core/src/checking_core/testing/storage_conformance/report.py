"""Rules of reporting: what is counted is what is stored, of the operations that were asked for."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from uuid import uuid4

from checking_core.contracts import Outcome
from checking_core.storage import Store
from checking_core.testing.storage_conformance.rows import (
    accept,
    answer,
    at,
    claim,
    link_message,
    planned,
    settle,
    stored_checks,
)

__all__ = ["ReportRules"]


class ReportRules:
    """Progress, statistics, messages as they came."""

    async def test_progress_tells_closed_busy_and_waiting_checks(self, store: Store) -> None:
        ids = await planned(store, 5, due=[0, 0, 0, 40, 30])
        await settle(store, answer(ids[0]))
        await claim(store, limit=1)
        await planned(store, 1)
        (check,) = await stored_checks(store, ids[:1])
        async with store.read() as uow:
            progress = await uow.checks.progress([check["operation_id"]])
        assert (progress.closed, progress.busy, progress.waiting) == (1, 2, 2)
        assert progress.next_look == at(30)

    async def test_statistics_count_by_operation_and_outcome(self, store: Store) -> None:
        ids = await planned(store, 3)
        await settle(store, answer(ids[0]))
        await planned(store, 1)
        (check,) = await stored_checks(store, ids[:1])
        operation_id, unknown = check["operation_id"], uuid4()
        async with store.read() as uow:
            assert await uow.statistics.executions([operation_id, unknown]) == {operation_id: 3}
            assert await uow.statistics.outcomes([operation_id, unknown]) == {
                operation_id: {Outcome.ALERTED: 1, Outcome.PENDING: 2}
            }

    async def test_checks_are_found_by_a_span_of_ids_and_by_their_execution(self, store: Store) -> None:
        ids = sorted(await planned(store, 5))
        (third,) = await stored_checks(store, ids[2:3])
        async with store.read() as uow:
            assert [row["id"] for row in await uow.checks.between(ids[1], ids[3], limit=9)] == ids[1:4]
            assert [row["id"] for row in await uow.checks.between(ids[0], ids[4], limit=2)] == ids[:2]
            found = await uow.checks.of_execution(third["execution_result_id"])
            assert [row["id"] for row in found] == [third["id"]]
            assert await uow.checks.of_execution(uuid4()) == []

    async def test_messages_come_back_as_they_arrived_in_the_order_of_the_runs(self, store: Store) -> None:
        operation_id = uuid4()
        messages = [link_message(operation_id, link, started_at=at(-link), raw=f'{{"n": {link}}}') for link in range(3)]
        await accept(store, [*messages, link_message(uuid4())])
        async with store.read() as uow:
            assert list(await uow.executions.raw_of_operation(operation_id)) == ['{"n": 2}', '{"n": 1}', '{"n": 0}']
