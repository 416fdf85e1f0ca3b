"""Rules of accepting: what is told twice, late or in any order leaves the same rows."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import permutations
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from checking_core.contracts import Agent, LinkState
from checking_core.storage import Store
from checking_core.storage.tables import operations
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    accept,
    at,
    dump,
    execution_id,
    link_message,
)

__all__ = ["AcceptRules"]


class AcceptRules:
    """Executions."""

    async def test_an_execution_is_stored_as_it_was_told(self, store: Store, clock: MovableClock) -> None:
        message = link_message(uuid4())
        assert await accept(store, [message]) == {execution_id(message): 1}
        (row,) = (await dump(store)).values()
        assert message.execution is not None
        facts = msgspec.structs.asdict(message.execution)
        agent, procedure = facts.pop("agent"), facts.pop("procedure")
        facts.pop("hints")
        assert {name: row[name] for name in facts} == facts
        assert msgspec.convert(row["agent"], Agent) == agent
        assert (row["procedure_id"], row["procedure_fingerprint"]) == (procedure.id, procedure.fingerprint)
        assert (row["raw_message"], row["reported_at"], row["created_at"]) == (message.raw, at(10), clock.now)

    async def test_a_repeated_message_changes_nothing(self, store: Store, clock: MovableClock) -> None:
        operation_id = uuid4()
        messages = [link_message(operation_id, link) for link in range(3)]
        await accept(store, messages)
        before = await dump(store), await dump(store, operations)
        clock.move_to(100)
        assert await accept(store, messages) == {}
        assert (await dump(store), await dump(store, operations)) == before

    async def test_a_message_twice_in_a_batch_is_one_execution(self, store: Store) -> None:
        message = link_message(uuid4())
        assert await accept(store, [message, message]) == {execution_id(message): 1}
        assert len(await dump(store)) == 1

    async def test_a_redelivered_message_without_a_time_of_its_own_changes_nothing(self, store: Store) -> None:
        operation_id = uuid4()
        first, again = (
            link_message(operation_id, told=received, finished=received, started_at=at(received), raw="the same text")
            for received in (10, 20)
        )
        await accept(store, [first])
        before = await dump(store)
        assert await accept(store, [again]) == {}
        assert await dump(store) == before

    async def test_a_later_different_result_is_a_new_revision_of_the_row(
        self, store: Store, clock: MovableClock
    ) -> None:
        operation_id = uuid4()
        lost = link_message(operation_id, told=10, finished=None, state=LinkState.EXECUTE, status=-3)
        answered = link_message(operation_id, told=20, finished=15, state=LinkState.ERROR, status=1)
        await accept(store, [lost])
        clock.move_to(100)
        assert await accept(store, [answered]) == {execution_id(lost): 2}
        (row,) = (await dump(store)).values()
        assert (row["link_state"], row["status"], row["finished_at"]) == (LinkState.ERROR, 1, at(15))
        assert (row["raw_message"], row["created_at"]) == (answered.raw, at(0))

    async def test_a_later_message_with_other_output_is_a_new_revision(self, store: Store) -> None:
        operation_id = uuid4()
        await accept(store, [link_message(operation_id, told=10, result_data=None)])
        more = link_message(operation_id, told=20, result_data={"stdout": "more"})
        assert await accept(store, [more]) == {execution_id(more): 2}

    async def test_a_later_message_that_tells_no_output_does_not_erase_it(self, store: Store) -> None:
        operation_id = uuid4()
        known = link_message(operation_id, told=10, result_data={"stdout": "kept"})
        await accept(store, [known])
        assert await accept(store, [link_message(operation_id, told=20, result_data=None)]) == {}
        (row,) = (await dump(store)).values()
        assert (row["result_data"], row["revision"]) == ({"stdout": "kept"}, 1)

    async def test_an_older_result_changes_nothing(self, store: Store) -> None:
        operation_id = uuid4()
        await accept(store, [link_message(operation_id, told=20, finished=15)])
        before = await dump(store)
        for older in (
            link_message(operation_id, told=30, finished=5, state=LinkState.ERROR),
            link_message(operation_id, told=30, finished=None, state=LinkState.EXECUTE),
            link_message(operation_id, told=10, finished=15, state=LinkState.ERROR),
        ):
            assert await accept(store, [older]) == {}
        assert await dump(store) == before

    async def test_the_same_result_told_again_later_is_no_revision(self, store: Store) -> None:
        operation_id = uuid4()
        await accept(store, [link_message(operation_id, told=10)])
        assert await accept(store, [link_message(operation_id, told=20)]) == {}

    @pytest.mark.parametrize("together", [True, False], ids=["one batch", "a batch each"])
    async def test_results_of_a_link_may_arrive_in_any_order(self, store: Store, *, together: bool) -> None:
        stories: Sequence[dict[str, Any]] = (
            {"told": 10, "finished": None, "state": LinkState.EXECUTE},
            {"told": 20, "finished": 15},
            {"told": 30, "finished": 15, "state": LinkState.TIMEOUT},
            {"told": 40, "finished": 15},
        )
        endings = set()
        for order in permutations(stories):
            operation_id = uuid4()
            messages = [link_message(operation_id, **story) for story in order]
            for batch in [messages] if together else [[message] for message in messages]:
                await accept(store, batch)
            row = (await dump(store))[execution_id(messages[0])]
            endings.add((row["link_state"], row["run_state"], row["finished_at"], row["reported_at"]))
        assert endings == {(LinkState.SUCCESS, "ran", at(15), at(40))}

    async def test_each_result_of_a_link_in_a_batch_counts_as_a_revision(self, store: Store) -> None:
        operation_id = uuid4()
        answered = link_message(operation_id, told=20)
        lost = link_message(operation_id, told=10, finished=None, state=LinkState.EXECUTE)
        assert await accept(store, [answered, lost]) == {execution_id(lost): 2}

    async def test_operations_keep_their_links_apart(self, store: Store) -> None:
        one, other = (link_message(operation_id) for operation_id in (uuid4(), uuid4()))
        twin = msgspec.structs.replace(other, execution=one.execution)
        assert len(await accept(store, [one, twin])) == 2

    async def test_batches_in_opposite_order_store_each_execution_once(self, store: Store, second_store: Store) -> None:
        for _ in range(5):
            operation_id = uuid4()
            messages = [link_message(operation_id, link) for link in range(40)]
            counts = await asyncio.gather(
                *(accept(one, batch) for one in (store, second_store) for batch in (messages, messages[::-1]))
            )
            assert sorted(map(len, counts)) == [0, 0, 0, 40]

    async def test_executions_are_found_by_operation_and_by_id(self, store: Store) -> None:
        operation_id = uuid4()
        messages = [link_message(operation_id, link, started_at=at(-link)) for link in range(3)]
        await accept(store, [*messages, link_message(uuid4())])
        async with store.read() as uow:
            rows = await uow.executions.of_operation(operation_id)
            some = await uow.executions.by_ids([execution_id(messages[1]), uuid4()])
        assert [row["id"] for row in rows] == [execution_id(message) for message in messages[::-1]]
        assert list(some) == [execution_id(messages[1])]
        assert "raw_message" not in rows[0]
