"""The store on SQLite keeps every rule of the suite."""

import shutil

import pytest

from checking_core.storage import Store, migrate
from checking_core.testing.storage_conformance import StorageConformance


def url_of(path):
    return f"sqlite+aiosqlite:///{path}"


@pytest.fixture(scope="module")
async def migrated(tmp_path_factory):
    """An empty, migrated database, to be copied for each test."""
    path = tmp_path_factory.mktemp("storage") / "empty.db"
    await migrate.upgrade(url_of(path))
    return path


class TestStorageOnSqlite(StorageConformance):
    @pytest.fixture
    async def store(self, migrated, tmp_path, clock):
        async with Store(url_of(shutil.copy(migrated, tmp_path / "checking.db")), clock=clock) as store:
            yield store

    @pytest.fixture
    def empty_url(self, tmp_path):
        return url_of(tmp_path / "empty.db")

    @pytest.fixture
    def away_urls(self, tmp_path):
        garbage = tmp_path / "garbage.db"
        garbage.write_text("no database " * 500)
        return [url_of(tmp_path), url_of(garbage)]
