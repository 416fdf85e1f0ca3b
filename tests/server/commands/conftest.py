"""Commands are called in an empty folder, with none of our variables set but a database of their own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.server.conftest import Clock, Stations

from checking_core.storage import Store, migrate


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("CHECKING_", "RABBITMQ_", "DATABASE_")) and not name.startswith("CHECKING_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHECKING_DATABASE_URL", f"sqlite:///{tmp_path / 'checking.db'}")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
async def stations(tmp_path: Path, clock: Clock) -> AsyncIterator[Stations]:
    """The stations on the database that the commands read."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
    await migrate.upgrade(url)
    async with Store(url, clock=clock) as store:
        found = Stations(store, clock)
        await found.transport.start()
        yield found
        await found.transport.close()
