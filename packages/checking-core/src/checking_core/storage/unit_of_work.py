"""One unit of work owns one transaction; repositories only ask inside it.

``Store.begin()`` commits when its block ends and rolls back when it raises. ``Store.read()`` sees one snapshot and
can write nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import Self

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from checking_core.storage import bell, notices
from checking_core.storage.api_keys import ApiKeys
from checking_core.storage.audit import Audit
from checking_core.storage.checks import Checks
from checking_core.storage.claims import Claims
from checking_core.storage.dead_letters import DeadLetters
from checking_core.storage.engine import (
    connected,
    disposed,
    is_sqlite,
    open_reader,
    open_writer,
    store_errors,
    with_snapshots,
)
from checking_core.storage.executions import Executions
from checking_core.storage.idempotency import IdempotencyKeys
from checking_core.storage.notices import Notes, Notice
from checking_core.storage.operations import Operations
from checking_core.storage.results import Results
from checking_core.storage.statistics import Statistics

__all__ = ["Store", "UnitOfWork"]


_TOLD_FOR = 10.0
"""Seconds for which our own clock, which may be slowed down or hurried, goes on from the database's."""

_NOW = sa.select(sa.func.clock_timestamp())


class UnitOfWork:
    """The repositories on one transaction, and the store's time as of its beginning."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self.connection = connection
        self.now = now
        self.notes = Notes()

    @cached_property
    def operations(self) -> Operations:
        """Operations."""
        return Operations(self.connection, self.now, self.notes)

    @cached_property
    def executions(self) -> Executions:
        """Executions."""
        return Executions(self.connection, self.now)

    @cached_property
    def checks(self) -> Checks:
        """Checks."""
        return Checks(self.connection, self.now, self.notes)

    @cached_property
    def results(self) -> Results:
        """Results."""
        return Results(self.connection, self.now, self.notes)

    @cached_property
    def claims(self) -> Claims:
        """Records that checks rest on."""
        return Claims(self.connection)

    @cached_property
    def statistics(self) -> Statistics:
        """Counts."""
        return Statistics(self.connection)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        """Messages that could not be accepted."""
        return DeadLetters(self.connection, self.now)

    @cached_property
    def idempotency_keys(self) -> IdempotencyKeys:
        """Requests under keys of their senders' own, and what they were answered."""
        return IdempotencyKeys(self.connection, self.now)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """Keys to the API."""
        return ApiKeys(self.connection, self.now)

    @cached_property
    def audit(self) -> Audit:
        """Who changed what."""
        return Audit(self.connection, self.now)


class Store:
    """A database and its clock.

    Args:
        url: SQLAlchemy URL of an async driver.
        clock: aware time source; default the database's own clock, so that leases mean the same on every host.
    """

    def __init__(self, url: str, *, clock: Callable[[], datetime] | None = None) -> None:
        self.url = url
        self.embedded = is_sqlite(url)
        self._clock = clock
        self._writer = open_writer(url)
        self._glancer = open_reader(url)
        self._reader = with_snapshots(self._glancer)
        self._one_writer = asyncio.Lock() if self.embedded else None
        self._told: tuple[datetime, float] | None = None
        self._watchers: list[Callable[[Sequence[Notice]], None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """A transaction that commits at the end of the block.

        Raises:
            StoreUnavailableError: nothing was written; the same work may succeed later.
            StoreRejectedError: the database refused the data; nothing was written.
            SchemaOutdatedError: the schema is not this version's.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(store_errors())
            if self._one_writer is not None:
                await stack.enter_async_context(self._one_writer)
            connection = await stack.enter_async_context(connected(self._writer))
            await stack.enter_async_context(connection.begin())
            uow = UnitOfWork(connection, await self._now(connection))
            yield uow
            changes = tuple(uow.notes)
            if not self.embedded:
                await notices.send(connection, changes)
        for watcher in self._watchers if changes else ():
            watcher(changes)

    def read(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """One snapshot, read only. Raises as ``begin``.

        Its ``now`` is the database's as well, but may be told by our own clock since it was asked last.
        """
        return self._reading(self._reader)

    def glance(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Read only, each statement for itself: for what one of them answers. Raises as ``begin``."""
        return self._reading(self._glancer)

    @asynccontextmanager
    async def _reading(self, engine: AsyncEngine) -> AsyncIterator[UnitOfWork]:
        with store_errors():
            async with connected(engine) as connection:
                yield UnitOfWork(connection, self._recently() or await self._now(connection))

    async def ring(self) -> None:
        """Tell other processes on this database that checks may be due. Raises ``StoreUnavailableError``."""
        if not self.embedded:
            with store_errors():
                async with self._writer.begin() as connection:
                    await bell.ring(connection)

    @asynccontextmanager
    async def listening(self, on_ring: Callable[[], None]) -> AsyncIterator[None]:
        """Call ``on_ring`` whenever another process rings, while the block runs; see ``bell``. On SQLite: never."""
        if self.embedded:
            yield
            return
        async with bell.listening(self._writer, on_ring):
            yield

    @contextmanager
    def watched(self, on_changes: Callable[[Sequence[Notice]], None]) -> Iterator[None]:
        """Call ``on_changes`` with what each transaction of this process changed, once committed, while the block runs.

        It must neither block nor raise.
        """
        self._watchers.append(on_changes)
        try:
            yield
        finally:
            self._watchers.remove(on_changes)

    @asynccontextmanager
    async def followed(
        self, on_changes: Callable[[Sequence[Notice]], None], *, on_gap: Callable[[], None]
    ) -> AsyncIterator[None]:
        """The same of every process on this database; on SQLite of this one.

        Args:
            on_changes: must neither block nor raise.
            on_gap: called whenever some may have been missed, for instance while the database was away.
        """
        if self.embedded:
            with self.watched(on_changes):
                yield
            return
        async with notices.following(self._writer, on_changes, on_gap=on_gap):
            yield

    async def ping(self) -> None:
        """Ask the database for next to nothing. Raises ``StoreUnavailableError``."""
        with store_errors():
            async with connected(self._glancer) as connection:
                await connection.execute(sa.select(sa.literal(1)))

    async def close(self) -> None:
        """Close every connection. May be called twice."""
        await disposed(self._writer)
        await disposed(self._reader)

    async def _now(self, connection: AsyncConnection) -> datetime:
        if self._clock is not None:
            return self._clock()
        if self.embedded:
            return datetime.now(UTC)  # SQLite's clock is this machine's, to the millisecond only
        found: datetime = (await connection.execute(_NOW)).scalar_one()
        self._told = (found, monotonic())
        return found

    def _recently(self) -> datetime | None:
        """The database's time, if it told that a moment ago: asking for it costs as much as many a read."""
        if self._told is None or self._clock is not None:
            return None
        then, at = self._told
        passed = monotonic() - at
        return then + timedelta(seconds=passed) if passed < _TOLD_FOR else None
