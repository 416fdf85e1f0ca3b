"""What is told of a change: by every writer, once it is committed, to every process on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from tests.services import PrivatePostgres

from checking_core.contracts import CheckStatus, Outcome, Reason
from checking_core.storage import Store, migrate
from checking_core.storage.channel import LONGEST
from checking_core.storage.notices import CheckNotice, Notes, Notice, OperationNotice
from checking_server.flow.retry import retry

from .conftest import SOMEBODY, Stations, an_answer, not_yet, taken

Link = Callable[..., bytes]
OPERATION = UUID("10000000-0000-4000-8000-000000000001")
PATIENCE = 60.0


class Told:
    """What a store tells."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.gaps = 0
        self._moved = asyncio.Event()

    def __call__(self, notices: Sequence[Notice]) -> None:
        self.notices += notices
        self._moved.set()

    def gap(self) -> None:
        self.gaps += 1
        self._moved.set()

    @property
    def checks(self) -> list[tuple[CheckStatus, Outcome, Reason | None]]:
        """What became of checks."""
        return [(one.status, one.outcome, one.reason) for one in self.notices if isinstance(one, CheckNotice)]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for what comes from elsewhere."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._moved.clear()
                await self._moved.wait()


async def test_every_step_of_a_check_is_told_in_its_order(stations: Stations, link: Link) -> None:
    told = Told()
    worker = await stations.serve("siem")
    with stations.store.watched(told):
        await stations.accepts(link())
        await stations.dispatch()
        (task,) = await taken(worker)
        await stations.gathers(not_yet(task))
        stations.clock.move(600)
        await stations.dispatch()
        (task,) = await taken(worker)
        await stations.gathers(an_answer(task))
    (check,) = await stations.checks()
    assert told.notices[0] == OperationNotice(operation_id=OPERATION, state="running")
    assert told.checks == [
        (CheckStatus.PENDING, Outcome.PENDING, None),
        (CheckStatus.DISPATCHED, Outcome.PENDING, None),
        (CheckStatus.PENDING, Outcome.PENDING, None),
        (CheckStatus.DISPATCHED, Outcome.PENDING, None),
        (CheckStatus.COMPLETED, Outcome.ALERTED, Reason.MATCHED_ALERT),
    ]
    assert told.notices[-1] == CheckNotice(
        id=check["id"],
        operation_id=OPERATION,
        execution_result_id=check["execution_result_id"],
        detection_platform="siem",
        look=2,
        status=CheckStatus.COMPLETED,
        outcome=Outcome.ALERTED,
        reason=Reason.MATCHED_ALERT,
    )


async def test_a_message_that_changes_nothing_is_not_told(stations: Stations, link: Link) -> None:
    told = Told()
    await stations.accepts(link())
    with stations.store.watched(told):
        await stations.accepts(link())
    assert told.notices == []


async def test_what_is_rolled_back_is_not_told(stations: Stations, link: Link) -> None:
    told = Told()
    await stations.accepts(link())
    with stations.store.watched(told), pytest.raises(RuntimeError):
        await _claimed_in_vain(stations.store)
    assert told.notices == []


async def _claimed_in_vain(store: Store) -> None:
    async with store.begin() as uow:
        assert await uow.checks.claim_due(limit=1, max_in_flight=lambda _: 1)
        raise RuntimeError


async def test_a_task_that_comes_back_and_one_that_nobody_serves_are_told(stations: Stations, link: Link) -> None:
    told = Told()
    await stations.accepts(link())
    with stations.store.watched(told):
        await stations.dispatch()
        stations.clock.move(2_000)
        await stations.dispatch()
    given_up = (CheckStatus.FAILED, Outcome.INCONCLUSIVE, Reason.UNSUPPORTED_PLATFORM)
    sent, back = (CheckStatus.DISPATCHED, Outcome.PENDING, None), (CheckStatus.PENDING, Outcome.PENDING, None)
    assert told.checks == [sent, back, sent, given_up]


async def test_a_check_that_a_person_has_asked_again_is_told(stations: Stations, link: Link) -> None:
    told = Told()
    worker = await stations.serve("siem")
    await stations.accepts(link())
    await stations.dispatch()
    (task,) = await taken(worker)
    await stations.gathers(an_answer(task))
    with stations.store.watched(told):
        await retry(stations.store, [task.detection_execution_id], SOMEBODY, on_due=lambda: None)
    assert told.checks == [(CheckStatus.PENDING, Outcome.PENDING, None)]


async def test_a_state_is_told_as_far_as_it_is_short() -> None:
    notes = Notes()
    notes.operation(OPERATION, "x" * 1_000)
    assert list(notes) == [OperationNotice(operation_id=OPERATION, state="x" * 100)]


async def test_every_process_on_a_database_is_told(stations: Stations, link: Link) -> None:
    """On SQLite the process is the only one; on PostgreSQL another one has connections of its own."""
    told = Told()
    store = stations.store if stations.store.embedded else Store(stations.store.url)
    async with store, store.followed(told, on_gap=told.gap):
        if not store.embedded:
            await told.until(lambda: told.gaps > 0)
        await stations.accepts(link(), link(2))
        await told.until(lambda: len(told.checks) == 2)
    assert {one.operation_id for one in told.notices} == {OPERATION}


async def test_a_batch_of_any_size_is_told_whole(postgres_url: str) -> None:
    told = Told()
    count = 300
    await migrate.upgrade(postgres_url)
    async with Store(postgres_url) as store, store.followed(told, on_gap=told.gap):
        await told.until(lambda: told.gaps > 0)
        async with store.begin() as uow:
            for _ in range(count):
                uow.notes.operation(uuid4(), '"' * 1_000)
            expected = list(uow.notes)
        await told.until(lambda: len(told.notices) >= count)
    assert told.notices == expected
    assert count * 200 > LONGEST


async def test_what_cannot_be_read_is_a_gap(postgres_url: str) -> None:
    told = Told()
    async with Store(postgres_url) as store, store.followed(told, on_gap=told.gap):
        await told.until(lambda: told.gaps == 1)
        async with store.begin() as uow:
            await uow.connection.execute(sa.text("SELECT pg_notify('checking_changes', '[[\"moon\"]]')"))
        await told.until(lambda: told.gaps == 2)
    assert told.notices == []


async def test_who_follows_goes_on_after_the_database_was_away_and_knows_of_the_gap(
    private_postgres: PrivatePostgres,
) -> None:
    told = Told()
    await migrate.upgrade(private_postgres.url)
    async with Store(private_postgres.url) as store, store.followed(told, on_gap=told.gap):
        await told.until(lambda: told.gaps == 1)
        await asyncio.to_thread(private_postgres.kill)
        await asyncio.to_thread(private_postgres.start)
        await told.until(lambda: told.gaps == 2)
        async with store.begin() as uow:
            uow.notes.operation(OPERATION, None)
        await told.until(lambda: len(told.notices) == 1)
    assert told.notices == [OperationNotice(operation_id=OPERATION, state=None)]
