"""Rules of gathering: a check takes what was decided, results are only added, the newest counts."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from uuid import uuid4

import pytest

from checking_core.contracts import CheckStatus, Outcome, task_id_of
from checking_core.storage import Store
from checking_core.storage.tables import detection_results
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    add,
    answer,
    at,
    claim,
    dump,
    planned,
    result_row,
    settle,
    stored_checks,
)

__all__ = ["SettleRules"]


class SettleRules:
    """Verdicts, results, evidence."""

    # --- checks -------------------------------------------------------------------------------------------

    async def test_a_settled_check_has_its_verdict_and_no_lease(self, store: Store) -> None:
        ids = await planned(store, 3)
        await claim(store)
        await settle(store, *map(answer, ids[:2]))
        rows = await stored_checks(store, ids)
        done = (CheckStatus.COMPLETED, Outcome.ALERTED, at(60))
        assert [(row["status"], row["outcome"], row["completed_at"]) for row in rows[:2]] == [done, done]
        assert [row["lease_until"] is None for row in rows] == [True, True, False]
        assert rows[2]["status"] is CheckStatus.DISPATCHED

    async def test_a_check_can_be_scheduled_for_its_next_look(self, store: Store) -> None:
        (check_id,) = await planned(store, 1)
        await claim(store)
        change = {
            "id": check_id,
            "status": CheckStatus.PENDING,
            "look": 2,
            "task_id": task_id_of(check_id, 2),
            "available_at": at(15),
            "execution_metadata": {"lease": 1.5, "looks": [{"look": 1, "outcome": "none"}]},
        }
        await settle(store, change)
        (stored,) = await stored_checks(store, [check_id])
        assert {name: stored[name] for name in change} == change

    async def test_rows_of_a_batch_change_the_same_columns(self, store: Store) -> None:
        ids = await planned(store, 2)
        rows = [answer(ids[0]), {"id": ids[1], "status": CheckStatus.COMPLETED}]
        for batch in (rows, rows[::-1]):
            with pytest.raises(ValueError, match="same columns"):
                await settle(store, *batch)

    async def test_locked_checks_come_with_the_times_of_their_execution(self, store: Store) -> None:
        ids = await planned(store, 3)
        async with store.begin() as uow:
            locked = await uow.checks.lock([*ids[:2], uuid4()])
        assert set(locked) == set(ids[:2])
        row = locked[ids[0]]
        assert (row["execution_started_at"], row["execution_finished_at"]) == (at(1.25), at(5))
        assert (row["run_state"], row["status"]) == ("ran", CheckStatus.PENDING)

    # --- results ------------------------------------------------------------------------------------------

    async def test_a_result_is_stored_as_it_was_judged(self, store: Store, clock: MovableClock) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        clock.move_to(70)
        await add(store, result_row(check))
        stored = (await dump(store, detection_results))[check["task_id"]]
        assert dict(stored) == {**result_row(check), "created_at": at(70)}

    async def test_the_first_result_of_a_task_stands(self, store: Store, clock: MovableClock) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        await add(store, result_row(check), result_row(check, Outcome.NO_ALERT))
        before = await dump(store, detection_results)
        clock.move_to(100)
        await add(store, result_row(check, Outcome.NONE))
        assert await dump(store, detection_results) == before
        assert before[check["task_id"]]["outcome"] is Outcome.ALERTED

    async def test_the_newest_result_of_a_check_is_the_current_one(self, store: Store, clock: MovableClock) -> None:
        first, second = await stored_checks(store, await planned(store, 2))
        for seconds, outcome in ((100, Outcome.INCONCLUSIVE), (200, Outcome.NO_ALERT), (300, Outcome.ALERTED)):
            clock.move_to(seconds)
            await add(store, result_row(first, outcome, id=uuid4(), result_source=f"at {seconds}"))
        async with store.read() as uow:
            rows = await uow.results.current_of_operation(first["operation_id"])
        found = {row["id"]: row for row in rows}
        assert set(found) == {first["id"], second["id"]}
        assert found[first["id"]]["result_source"] == "at 300"
        assert found[second["id"]]["result_source"] is None

    async def test_a_check_with_its_current_result_keeps_its_own_columns(self, store: Store) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        await add(store, result_row(check, id=uuid4(), look=7))
        await planned(store, 1)
        async with store.read() as uow:
            (row,) = await uow.results.current_of_operation(check["operation_id"])
        assert {name: row[name] for name in check} == dict(check)
        assert (row["reason"], row["alert_at"]) == ("matched_alert", at(30.000001))
        assert "raw_response" not in row

    async def test_current_results_and_the_history_of_a_check_are_found(
        self, store: Store, clock: MovableClock
    ) -> None:
        first, second, silent = await stored_checks(store, await planned(store, 3))
        for seconds, outcome in ((100, Outcome.NO_ALERT), (200, Outcome.ALERTED)):
            clock.move_to(seconds)
            await add(store, result_row(first, outcome, id=uuid4()))
        await add(store, result_row(second))
        async with store.read() as uow:
            current = await uow.results.current([first["id"], silent["id"], second["id"]])
            history = await uow.results.of_check(first["id"])
        assert {row["detection_execution_id"]: row["outcome"] for row in current} == {
            first["id"]: Outcome.ALERTED,
            second["id"]: Outcome.ALERTED,
        }
        assert [row["outcome"] for row in history] == [Outcome.ALERTED, Outcome.NO_ALERT]
        assert "raw_response" not in history[0]
