"""Processes on one PostgreSQL wake each other, also after it was away."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.services import PrivatePostgres

from checking_core.storage import Store, migrate

PATIENCE = 60.0


class Rings:
    """Counts rings."""

    def __init__(self) -> None:
        self.count = 0
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self._rung.set()

    async def beyond(self, count: int) -> None:
        """Wait for one more than so many. Who begins to listen calls once, for what it may have missed."""
        async with asyncio.timeout(PATIENCE):
            while self.count <= count:
                self._rung.clear()
                await self._rung.wait()


async def test_a_ring_is_heard_by_every_process_that_listens(postgres_url: str) -> None:
    first, second = Rings(), Rings()
    async with Store(postgres_url) as one, Store(postgres_url) as other:
        async with one.listening(first), other.listening(second):
            await asyncio.gather(first.beyond(0), second.beyond(0))
            await other.ring()
            await asyncio.gather(first.beyond(1), second.beyond(1))
        await other.ring()
        assert (first.count, second.count) == (2, 2)


async def test_who_listens_hears_again_after_the_database_was_away(private_postgres: PrivatePostgres) -> None:
    await migrate.upgrade(private_postgres.url)
    rings = Rings()
    async with Store(private_postgres.url) as store, store.listening(rings):
        await rings.beyond(0)
        await asyncio.to_thread(private_postgres.kill)
        await asyncio.to_thread(private_postgres.start)
        await rings.beyond(1)
        await store.ring()
        await rings.beyond(2)
        assert rings.count >= 3


async def test_who_begins_to_listen_while_the_database_is_away_hears_later(private_postgres: PrivatePostgres) -> None:
    private_postgres.kill()
    rings = Rings()
    async with Store(private_postgres.url) as store, store.listening(rings):
        await asyncio.to_thread(private_postgres.start)
        await rings.beyond(0)
        assert rings.count >= 1


async def test_on_sqlite_nothing_rings_and_nothing_fails(tmp_path: Path) -> None:
    rings = Rings()
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store, store.listening(rings):
        await store.ring()
    assert rings.count == 0
