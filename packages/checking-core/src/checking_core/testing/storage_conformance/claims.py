"""Rules of claims: what decides to whom a record belongs is found whole, and changed by one at a time."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

from checking_core.contracts import MatchTier, Outcome
from checking_core.matching.attribution import Claim
from checking_core.storage import Store
from checking_core.storage.tables import detection_results
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    Row,
    add,
    dump,
    planned,
    result_row,
    stored_checks,
)

__all__ = ["ClaimedRecordRules"]

_MANY = 40_000
"""More than a database takes parameters."""


class ClaimedRecordRules:
    """Claims and the flag that follows from them."""

    async def test_a_record_is_claimed_once_by_each_check(self, store: Store) -> None:
        ids = sorted(await planned(store, 2))
        rows = [_claim(key, "7:42") for key in ids]
        for batch in (rows, rows[::-1], [*rows, *rows]):
            async with store.begin() as uow:
                await uow.claims.replace([], batch)
        assert await _around(store, "7:42") == {(key, "7:42") for key in ids}

    async def test_a_claim_comes_with_the_execution_and_the_procedure_behind_it(self, store: Store) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        await _replace(store, [_claim(check["id"], "7:42", tier=MatchTier.HOST, shared=True, decisive=False)])
        async with store.read() as uow:
            (claim,) = await uow.claims.around("splunk", ["7:42"])
        assert claim == Claim(
            backend="splunk",
            record_id="7:42",
            check_id=check["id"],
            execution_id=check["execution_result_id"],
            procedure="f" * 32,
            tier=MatchTier.HOST,
            shared=True,
            decisive=False,
        )

    async def test_around_a_record_lies_all_that_its_claimants_rest_on_and_who_else_claims_that(
        self, store: Store
    ) -> None:
        first, second, third, stranger = await planned(store, 4)
        await _replace(store, [_claim(first, "a"), _claim(second, "a"), _claim(second, "b"), _claim(third, "b")])
        await _replace(store, [_claim(third, "c"), _claim(stranger, "d"), _claim(stranger, "a", backend="elastic")])
        assert await _around(store, "a") == {(first, "a"), (second, "a"), (second, "b"), (third, "b")}
        assert await _around(store, "c") == {(second, "b"), (third, "b"), (third, "c")}
        assert await _around(store, "x") == set()

    async def test_the_claims_of_a_check_are_replaced(self, store: Store) -> None:
        first, second = await planned(store, 2)
        await _replace(store, [_claim(first, "a"), _claim(first, "b"), _claim(second, "a")])
        await _replace(store, [_claim(first, "c")], forget=[first])
        async with store.read() as uow:
            assert await uow.claims.records_of([first]) == [("splunk", "c")]
            assert await uow.claims.records_of([second]) == [("splunk", "a")]
            assert await uow.claims.records_of([uuid4()]) == []

    async def test_only_current_results_are_marked_and_only_those_of_the_checks(
        self, store: Store, clock: MovableClock
    ) -> None:
        checks = await stored_checks(store, await planned(store, 2))
        old, current, other = uuid4(), uuid4(), uuid4()
        await add(store, result_row(checks[0], Outcome.MATCHED, id=old), result_row(checks[1], id=other))
        clock.move_to(100)
        await add(store, result_row(checks[0], id=current))
        for ambiguous in (True, True, False, False):
            async with store.begin() as uow:
                await uow.claims.mark([checks[0]["id"]], ambiguous=ambiguous)
            stored = await dump(store, detection_results)
            assert {key: row["ambiguous"] for key, row in stored.items()} == {
                old: False,
                current: ambiguous,
                other: False,
            }

    async def test_the_number_of_records_and_checks_is_not_limited(self, store: Store) -> None:
        (check_id,) = await planned(store, 1)
        await _replace(store, [_claim(check_id, "7:42")])
        async with store.begin() as uow:
            await uow.claims.mark([uuid4() for _ in range(_MANY)], ambiguous=True)
            assert len(await uow.claims.around("splunk", [*map(str, range(_MANY)), "7:42"])) == 1

    async def test_of_two_who_claim_a_record_at_a_time_the_second_sees_the_first(
        self, store: Store, second_store: Store
    ) -> None:
        for number in range(10):
            ids = await planned(store, 2)
            record = f"7:{number}"
            async with asyncio.timeout(60):
                seen = await asyncio.gather(
                    *(_claimed(one, key, record) for one, key in zip((store, second_store), ids, strict=True))
                )
            assert sorted(seen) == [1, 2]

    async def test_who_claims_on_several_backends_in_any_order_meets_no_deadlock(
        self, store: Store, second_store: Store
    ) -> None:
        backends = [f"backend-{number}" for number in range(20)]
        async with asyncio.timeout(60):
            for _ in range(5):
                await asyncio.gather(
                    *(_held(one, order) for one in (store, second_store) for order in (backends, backends[::-1]))
                )


def _claim(check_id: UUID, record_id: str, *, backend: str = "splunk", **fields: object) -> Row:
    told: Row = {"tier": MatchTier.PROCESS, "shared": False, "decisive": True, **fields}
    return {"backend": backend, "record_id": record_id, "check_id": check_id, **told}


async def _replace(store: Store, rows: Sequence[Row], forget: Sequence[UUID] = ()) -> None:
    async with store.begin() as uow:
        await uow.claims.replace(forget, rows)


async def _around(store: Store, record_id: str) -> set[tuple[UUID, str]]:
    async with store.read() as uow:
        return {(claim.check_id, claim.record_id) for claim in await uow.claims.around("splunk", [record_id])}


async def _claimed(store: Store, check_id: UUID, record_id: str) -> int:
    """Claim a record; how many claims there are then."""
    async with store.begin() as uow:
        await uow.claims.hold(["splunk"])
        await uow.claims.replace([], [_claim(check_id, record_id)])
        return len(await uow.claims.around("splunk", [record_id]))


async def _held(store: Store, backends: Sequence[str]) -> None:
    async with store.begin() as uow:
        await uow.claims.hold(backends)
