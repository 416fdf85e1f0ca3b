"""Rules of leases: what was claimed comes back when its time is over, or when it is given back."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from datetime import datetime
from operator import itemgetter
from uuid import UUID

from checking_core.contracts import CheckStatus
from checking_core.storage import Store
from checking_core.testing.storage_conformance.rows import (
    LEASE,
    MovableClock,
    answer,
    at,
    claim,
    planned,
    release,
    settle,
    statuses,
    stored_checks,
)

__all__ = ["LeaseRules"]


class LeaseRules:
    """Leases, giving back, and when to look next."""

    # --- leases -------------------------------------------------------------------------------------------

    async def test_a_lease_runs_out_after_its_last_moment(self, store: Store, clock: MovableClock) -> None:
        ids = [*await planned(store, 1, lease=30), *await planned(store, 1, lease=90)]
        await claim(store)
        clock.move_to(30)
        assert await _run_out(store) == []
        clock.move_to(30.000001)
        assert await _run_out(store) == ids[:1]
        clock.move_to(91)
        assert await _run_out(store) == ids

    async def test_the_next_lease_is_the_one_that_runs_out_first(self, store: Store, clock: MovableClock) -> None:
        async with store.read() as uow:
            assert await uow.checks.next_lease() is None
        await planned(store, 1, lease=90)
        await planned(store, 1, lease=30)
        await claim(store)
        clock.move_to(1000)
        async with store.read() as uow:
            assert await uow.checks.next_lease() == at(30)

    async def test_checks_in_flight_are_told_in_the_order_of_sending_with_what_names_their_queue(
        self, store: Store, clock: MovableClock
    ) -> None:
        late, early = await planned(store, 1, due=[7]), await planned(store, 1, backend="elastic", due=[3])
        await planned(store, 1, due=[100])
        clock.move_to(10)
        await claim(store)
        async with store.read() as uow:
            rows = await uow.checks.in_flight()
        assert [row["id"] for row in rows] == early + late
        stored = {row["id"]: row for row in await stored_checks(store, early + late)}
        for row in rows:
            assert row["agent_host"] == "ws01.corp.example"
            assert {name: stored[row["id"]][name] for name in row if name != "agent_host"} == {
                name: row[name] for name in row if name != "agent_host"
            }

    async def test_an_extended_lease_runs_out_later_and_only_in_flight(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 2, lease=30)
        await claim(store)
        await settle(store, answer(ids[0]))
        rows = [{"id": key, "lease_until": at(500), "execution_metadata": {"lease": 30, "n": 7}} for key in ids]
        async with store.begin() as uow:
            await uow.checks.lock(ids)
            await uow.checks.extend_leases(rows)
        answered, extended = await stored_checks(store, ids)
        assert (answered["lease_until"], extended["lease_until"]) == (None, at(500))
        assert (answered["execution_metadata"].get("n"), extended["execution_metadata"]["n"]) == (None, 7)
        clock.move_to(400)
        assert await _run_out(store) == []

    async def test_only_checks_in_flight_have_a_lease(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 3)
        await claim(store)
        await settle(store, answer(ids[0]))
        await release(store, ids[1:2], due=0)
        clock.move_to(1000)
        assert await _run_out(store) == [ids[2]]

    # --- giving back --------------------------------------------------------------------------------------

    async def test_a_released_check_waits_until_it_is_due_again(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 1)
        await claim(store)
        await release(store, ids, due=9)
        (stored,) = await stored_checks(store, ids)
        assert (stored["status"], stored["lease_until"]) == (CheckStatus.PENDING, None)
        assert (stored["available_at"], stored["execution_metadata"]) == (at(9), {"lease": LEASE, "n": 2})
        assert await claim(store) == []
        clock.move_to(9)
        assert await claim(store) == ids

    async def test_releasing_leaves_an_answered_check_as_it_is(self, store: Store) -> None:
        ids = await planned(store, 2)
        await claim(store)
        await settle(store, answer(ids[0]))
        before = await stored_checks(store, ids[:1])
        await release(store, ids, due=9)
        assert await stored_checks(store, ids[:1]) == before
        assert await statuses(store, ids[1:]) == [CheckStatus.PENDING]

    async def test_a_restart_gives_back_everything_in_flight_and_nothing_else(
        self, store: Store, clock: MovableClock
    ) -> None:
        ids = await planned(store, 4, due=[0, 0, 0, 500])
        await claim(store)
        await settle(store, answer(ids[0]))
        clock.move_to(20)
        async with store.begin() as uow:
            assert await uow.checks.release_all() == 2
        rows = await stored_checks(store, ids)
        assert [row["status"] for row in rows] == [CheckStatus.COMPLETED, *[CheckStatus.PENDING] * 3]
        assert [(row["available_at"], row["lease_until"]) for row in rows[1:]] == [
            (at(20), None),
            (at(20), None),
            (at(500), None),
        ]

    # --- when to look next --------------------------------------------------------------------------------

    async def test_the_next_due_time_is_the_earliest_of_all_backends(self, store: Store, clock: MovableClock) -> None:
        assert await _next_due(store) is None
        await planned(store, 2, backend="splunk", due=[40, 30])
        await planned(store, 2, backend="elastic", due=[20, 50])
        assert await _next_due(store) == at(20)
        clock.move_to(25)
        await claim(store)
        assert await _next_due(store) == at(30)

    async def test_what_was_due_already_is_not_what_becomes_due_next(self, store: Store, clock: MovableClock) -> None:
        """It waits for room, and hides nothing that will be due later."""
        await planned(store, 3, due=[0, 0, 70])
        await claim(store, max_in_flight=lambda _: 1)
        assert await _next_due(store) == at(70)
        clock.move_to(80)
        assert await _next_due(store, after=at(0)) == at(70), "nor is it forgotten that it has become due meanwhile"


async def _run_out(store: Store) -> list[UUID]:
    async with store.read() as uow:
        rows = await uow.checks.in_flight()
        return [row["id"] for row in sorted(rows, key=itemgetter("lease_until")) if row["lease_until"] < uow.now]


async def _next_due(store: Store, after: datetime | None = None) -> datetime | None:
    async with store.read() as uow:
        return await uow.checks.next_due(after=after or uow.now)
