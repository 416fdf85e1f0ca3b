"""Rules of dispatching: a due check goes to one claimer, with a lease, in fair order, within the limits."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

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

__all__ = ["ClaimRules"]


class ClaimRules:
    """Claims."""

    # --- which checks -------------------------------------------------------------------------------------

    async def test_nothing_is_claimed_before_it_is_due(self, store: Store, clock: MovableClock) -> None:
        (check_id,) = await planned(store, 1, due=[30])
        clock.move_to(29.999999)
        assert await claim(store) == []
        clock.move_to(30)
        assert await claim(store) == [check_id]

    async def test_a_claimed_check_is_not_claimed_again(self, store: Store) -> None:
        ids = await planned(store, 3)
        assert sorted(await claim(store)) == sorted(ids)
        assert await claim(store) == []

    async def test_the_oldest_are_claimed_first(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 6, due=[5, 3, 6, 1, 4, 2])
        clock.move_to(10)
        assert await claim(store, limit=2) == ids[:2]
        assert await claim(store, limit=10) == ids[2:]

    async def test_the_oldest_come_first_over_all_backends(self, store: Store, clock: MovableClock) -> None:
        splunk = await planned(store, 2, backend="splunk", due=[1, 3])
        elastic = await planned(store, 2, backend="elastic", due=[2, 4])
        clock.move_to(10)
        assert await claim(store) == [splunk[0], elastic[0], splunk[1], elastic[1]]

    async def test_only_pending_checks_are_claimed(self, store: Store) -> None:
        ids = await planned(store, 2)
        await settle(store, answer(ids[0]))
        assert await claim(store) == [ids[1]]

    # --- what a claim writes ------------------------------------------------------------------------------

    async def test_a_claim_marks_the_check_and_gives_it_a_lease(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 1)
        clock.move_to(7)
        async with store.begin() as uow:
            (claimed,) = await uow.checks.claim_due(limit=10, max_in_flight=lambda _: 10)
        (stored,) = await stored_checks(store, ids)
        assert (claimed["id"], claimed["task_id"], claimed["dispatches"]) == (ids[0], stored["task_id"], 0)
        assert (stored["status"], stored["dispatches"]) == (CheckStatus.DISPATCHED, 1)
        assert (stored["lease_until"], stored["started_at"]) == (at(7 + LEASE), at(7))

    async def test_each_check_gets_the_lease_that_it_needs(self, store: Store) -> None:
        ids = [*await planned(store, 2, lease=30.5), *await planned(store, 1, lease=7200)]
        await claim(store)
        leases = [row["lease_until"] for row in await stored_checks(store, ids)]
        assert leases == [at(30.5), at(30.5), at(7200)]

    async def test_the_start_of_a_check_is_its_firstclaim(self, store: Store, clock: MovableClock) -> None:
        ids = await planned(store, 1)
        await claim(store)
        await release(store, ids, due=5)
        clock.move_to(5)
        await claim(store)
        (stored,) = await stored_checks(store, ids)
        assert (stored["started_at"], stored["dispatches"]) == (at(0), 2)

    # --- limits and fairness ------------------------------------------------------------------------------

    async def test_what_is_in_flight_counts_against_the_limit_of_its_backend(self, store: Store) -> None:
        ids = await planned(store, 5)
        assert len(await claim(store, max_in_flight=lambda _: 2)) == 2
        assert await claim(store, max_in_flight=lambda _: 2) == []
        assert len(await claim(store, max_in_flight=lambda _: 4)) == 2
        assert Counter(await statuses(store, ids)) == {CheckStatus.DISPATCHED: 4, CheckStatus.PENDING: 1}

    async def test_backends_share_a_claim_fairly(self, store: Store) -> None:
        await _three_backends(store, elastic=30, sentinel=30, splunk=30)
        assert await _shares(store, limit=21) == {"elastic": 7, "sentinel": 7, "splunk": 7}

    async def test_what_one_backend_does_not_need_goes_to_the_others(self, store: Store) -> None:
        await _three_backends(store, elastic=30, sentinel=1, splunk=30)
        assert await _shares(store, limit=21) == {"elastic": 10, "sentinel": 1, "splunk": 10}

    async def test_a_backend_with_nothing_due_takes_no_share(self, store: Store) -> None:
        await _three_backends(store, elastic=5)
        await planned(store, 5, backend="splunk", due=[60] * 5)
        assert await _shares(store, limit=5) == {"elastic": 5}

    async def test_a_backend_at_its_limit_takes_no_share(self, store: Store) -> None:
        await _three_backends(store, elastic=10, splunk=10)
        shares = await _shares(store, limit=8, max_in_flight=lambda backend: {"elastic": 0, "splunk": 100}[backend])
        assert shares == {"splunk": 8}

    async def test_the_backend_that_waits_longest_is_served_first(self, store: Store, clock: MovableClock) -> None:
        for position, backend in enumerate(("zeek", "splunk", "elastic")):
            await planned(store, 3, backend=backend, due=[position] * 3)
        clock.move_to(10)
        assert await _shares(store, limit=2) == {"zeek": 1, "splunk": 1}

    @pytest.mark.parametrize("limit", [0, 1])
    async def test_the_limit_of_a_claim_is_kept(self, store: Store, limit: int) -> None:
        await _three_backends(store, elastic=2, splunk=2)
        assert len(await claim(store, limit=limit)) == limit

    # --- two claimers -------------------------------------------------------------------------------------

    async def test_two_claimers_never_share_a_check(self, store: Store, second_store: Store) -> None:
        ids = await planned(store, 60)
        claims = await asyncio.gather(*(claim(one, limit=15) for one in (store, second_store) * 3))
        claimed = [check_id for claim in claims for check_id in claim]
        assert sorted(claimed) == sorted(ids)

    async def test_the_limit_of_a_backend_holds_over_all_claimers(self, store: Store, second_store: Store) -> None:
        await planned(store, 60)
        claims = await asyncio.gather(
            *(claim(one, limit=20, max_in_flight=lambda _: 25) for one in (store, second_store) * 3)
        )
        assert sum(map(len, claims)) == 25


async def _shares(store: Store, **how: Any) -> dict[str, int]:
    claimed = await stored_checks(store, await claim(store, **how))
    return Counter(row["detection_platform"] for row in claimed)


async def _three_backends(store: Store, **counts: int) -> None:
    for backend, count in counts.items():
        await planned(store, count, backend=backend)
