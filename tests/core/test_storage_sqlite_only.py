"""What the store on SQLite promises beyond the suite: one writer, readers that never wait, a file that makes itself."""

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from uuid import uuid4

import pytest
import sqlalchemy as sa

from checking_core.errors import ConfigurationError, StoreUnavailableError
from checking_core.storage import Store, migrate
from checking_core.storage.tables import operations
from checking_core.testing.storage_conformance.rows import accept, dump, operation_message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checking.db"


@pytest.fixture
async def store(path):
    url = f"sqlite+aiosqlite:///{path}"
    await migrate.upgrade(url)
    async with Store(url) as store:
        yield store


@pytest.fixture
async def other(store):
    """The same file as another process opens it."""
    async with Store(store.url) as other:
        yield other


def news(name="Red"):
    return [operation_message(uuid4(), told=0, state="running", name=name)]


async def pragma(uow, name):
    return (await uow.connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()


async def test_writers_and_readers_share_a_write_ahead_log(store):
    async with store.begin() as writer, store.read() as reader:
        assert [await pragma(uow, "journal_mode") for uow in (writer, reader)] == ["wal", "wal"]
        assert [await pragma(uow, "query_only") for uow in (writer, reader)] == [0, 1]
        assert [await pragma(uow, "foreign_keys") for uow in (writer, reader)] == [1, 1]


async def test_a_reader_does_not_wait_for_a_writer_and_sees_what_was_committed(store):
    async with store.begin() as uow:
        await uow.operations.accept_batch(news())
        async with asyncio.timeout(5):
            assert await dump(store, operations) == {}
    assert len(await dump(store, operations)) == 1


@pytest.mark.parametrize("same_process", [True, False])
async def test_there_is_one_writer_at_a_time(store, other, same_process):
    second, steps = store if same_process else other, []

    async def later():
        async with second.begin() as uow:
            steps.append("second begins")
            await uow.operations.accept_batch(news())

    async with store.begin() as uow:
        waiting = asyncio.create_task(later())
        for _ in range(50):
            await uow.operations.accept_batch(news())
        steps.append("first ends")
    await waiting
    assert steps == ["first ends", "second begins"]
    assert len(await dump(store, operations)) == 51


async def test_reading_then_writing_loses_no_update_without_any_lock(store, other):
    await accept(store, news("0"))

    async def count(one):
        for _ in range(25):
            async with one.begin() as uow:
                name = (await uow.connection.execute(sa.select(operations.c.name))).scalar_one()
                await uow.connection.execute(sa.update(operations).values(name=str(int(name) + 1)))

    await asyncio.gather(*(count(one) for one in (store, other) * 4))
    (row,) = (await dump(store, operations)).values()
    assert row["name"] == "200"


async def test_a_file_that_another_program_keeps_locked_is_unavailable_until_it_is_free(store, path):
    async with store.begin() as uow:
        await uow.connection.exec_driver_sql("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(path, isolation_level=None)) as program:
        program.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            await accept(store, news())
    await accept(store, news())
    assert len(await dump(store, operations)) == 1


async def test_a_database_that_may_only_be_read_is_told_with_what_to_correct(store):
    with pytest.raises(StoreUnavailableError, match="may only be read: correct who may write"):
        async with store.read() as uow:
            await uow.connection.exec_driver_sql("CREATE TABLE more (id)")


async def test_opening_a_store_creates_nothing_using_it_creates_its_folder(tmp_path):
    path = tmp_path / "deep" / "er" / "checking.db"
    async with Store(f"sqlite+aiosqlite:///{path}") as store:
        assert not path.parent.exists()
        await store.ping()
    assert path.exists()


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"])
def test_a_database_in_memory_is_refused_for_no_other_connection_would_see_it(url):
    with pytest.raises(ConfigurationError, match="has to be a file"):
        Store(url)


def test_a_caller_who_is_cancelled_leaves_no_thread_behind(path, monkeypatch):
    """The file answers only after a while: by then the event loop of a caller who did not wait would be closed."""
    asyncio.run(migrate.upgrade(f"sqlite+aiosqlite:///{path}"))
    asked, answer, driver = threading.Event(), threading.Event(), sqlite3.connect

    def connect(*arguments, **options):
        if threading.current_thread() is not threading.main_thread():
            asked.set()
            answer.wait()
        return driver(*arguments, **options)

    async def main():
        async with Store(f"sqlite+aiosqlite:///{path}") as store:
            work = asyncio.create_task(accept(store, news()))
            await asyncio.to_thread(asked.wait)
            threading.Timer(0.2, answer.set).start()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    monkeypatch.setattr(sqlite3, "connect", connect)
    asyncio.run(main())
    for thread in threading.enumerate():
        if "worker_thread" in thread.name:
            thread.join()  # what it fails with is an error of this test


async def test_a_file_that_is_no_database_is_named_by_its_setting(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database" * 100)
    async with Store(f"sqlite+aiosqlite:///{file}") as store:
        with pytest.raises(StoreUnavailableError, match=r"not a database.*correct CHECKING_DATABASE_URL"):
            await store.ping()
