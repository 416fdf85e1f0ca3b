"""Rules of operations: whatever is told of one, in whatever order, adds up to the same row."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from itertools import permutations
from uuid import uuid4

import pytest

from checking_core.storage import Paging, Store
from checking_core.storage.filters import OperationFilter
from checking_core.storage.tables import operations
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    accept,
    at,
    dump,
    link_message,
    operation_message,
)

__all__ = ["OperationRules"]


class OperationRules:
    """Operations."""

    @pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
    async def test_what_is_told_of_an_operation_may_arrive_in_any_order(self, store: Store, *, together: bool) -> None:
        for order in permutations(range(4)):
            operation_id = uuid4()
            story = (
                operation_message(operation_id, told=10, state="running"),
                operation_message(operation_id, told=20, state="cleanup"),
                operation_message(operation_id, told=30, state="running", name="Red"),
                link_message(operation_id, told=40, operation={"name": "", "operation_start": at(-5)}),
            )
            messages = [story[position] for position in order]
            async with store.begin() as uow:
                for batch in [messages] if together else [[message] for message in messages]:
                    await uow.operations.accept_batch(batch)
                row = await uow.operations.get(operation_id)
            assert row is not None
            assert (row["state"], row["state_at"]) == ("running", at(30))
            assert (row["name"], row["operation_start"]) == ("Red", at(-5))

    async def test_accepting_tells_which_operations_are_new_or_changed(self, store: Store) -> None:
        first, second = uuid4(), uuid4()
        running = [operation_message(operation_id, told=10, state="running") for operation_id in (first, second)]
        finished = operation_message(second, told=20, state="finished")
        async with store.begin() as uow:
            assert await uow.operations.accept_batch(running) == {first, second}
            assert await uow.operations.accept_batch(running) == set()
            assert await uow.operations.accept_batch([*running, finished]) == {second}

    async def test_an_operation_keeps_its_row(self, store: Store, clock: MovableClock) -> None:
        operation_id = uuid4()
        await accept(store, [operation_message(operation_id, told=10, state="running", name="Red")])
        (before,) = (await dump(store, operations)).values()
        clock.move_to(100)
        await accept(store, [operation_message(operation_id, told=20, state="finished", name="Red")])
        (after,) = (await dump(store, operations)).values()
        assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])
        assert (after["state"], before["updated_at"], after["updated_at"]) == ("finished", at(0), at(100))

    async def test_an_operation_is_found_by_row_id_operation_id_name_and_source_id(self, store: Store) -> None:
        operation_id = uuid4()
        await accept(store, [link_message(operation_id, operation={"name": "Red ✓", "source_id": "op 7"})])
        (row,) = (await dump(store, operations)).values()
        async with store.read() as uow:
            assert await uow.operations.get(operation_id) == row
            assert await uow.operations.get(row["id"]) == row
            assert await uow.operations.get(uuid4()) is None
            assert list(await uow.operations.named("Red ✓")) == [row]
            assert list(await uow.operations.named("op 7")) == [row]
            assert list(await uow.operations.named("op")) == []

    async def test_operations_are_listed_newest_first_and_by_state(self, store: Store, clock: MovableClock) -> None:
        ids = [uuid4() for _ in range(5)]
        for position, operation_id in enumerate(ids):
            clock.move_to(position // 2)
            state = "finished" if position % 2 else "running"
            await accept(store, [operation_message(operation_id, told=10, state=state)])
        async with store.read() as uow:
            pages = [await uow.operations.list(Paging(page=page, size=2)) for page in (1, 2, 3, 4)]
            finished = await uow.operations.list(wanted=OperationFilter(state="finished"))
        listed = [row["operation_id"] for page in pages for row in page.items]
        assert listed == [ids[4], *sorted(ids[2:4], key=listed.index), *sorted(ids[:2], key=listed.index)]
        assert [(page.total, page.total_is_minimum, len(page.items)) for page in pages] == [
            (5, False, 2),
            (5, False, 2),
            (5, False, 1),
            (5, False, 0),
        ]
        assert {row["operation_id"] for row in finished.items} == {ids[1], ids[3]}

    async def test_ids_that_nature_does_not_give_are_uuid_version_7(self, store: Store) -> None:
        await accept(store, [link_message(uuid4())])
        assert [key.version for key in await dump(store, operations)] == [7]
