"""The store on PostgreSQL keeps every rule of the suite, and those that only many processes need."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from tests.services import fresh_database

from checking_core.errors import StoreUnavailableError
from checking_core.storage import Store, migrate
from checking_core.storage.tables import metadata, operations
from checking_core.testing.storage_conformance import MovableClock, StorageConformance
from checking_core.testing.storage_conformance.rows import accept, claim, dump, link_message, planned

EMPTY_ALL = "TRUNCATE " + ", ".join(table.fullname for table in metadata.sorted_tables)


@pytest.fixture(scope="module")
async def migrated(postgres_url):
    """A migrated database, used by every test of this module in turn."""
    await migrate.upgrade(postgres_url)
    return postgres_url


@pytest.fixture
async def emptied(migrated):
    connection = await asyncpg.connect(migrated.replace("+asyncpg", "", 1))
    await connection.execute(EMPTY_ALL)
    await connection.close()
    return migrated


@pytest.fixture
def clock():
    return MovableClock()


@pytest.fixture
async def store(emptied, clock):
    async with Store(emptied, clock=clock) as store:
        yield store


class TestStorageOnPostgres(StorageConformance):
    @pytest.fixture
    def empty_url(self, postgres_server_url):
        with fresh_database(postgres_server_url) as url:
            yield url

    @pytest.fixture
    def away_urls(self, postgres_url, unused_tcp_port):
        url = sa.make_url(postgres_url)
        nobody_listens = url.set(host="127.0.0.1", port=unused_tcp_port)
        no_database = url.set(database=f"{url.database}_gone")
        no_role = url.set(username=f"nobody_{uuid4().hex}")
        return [one.render_as_string(hide_password=False) for one in (nobody_listens, no_database, no_role)]


async def test_a_claim_leaves_out_what_another_transaction_holds(store):
    ids = await planned(store, 3)
    async with store.begin() as uow:
        await uow.checks.lock(ids[:1])
        async with asyncio.timeout(30):
            assert set(await claim(store)) == set(ids[1:])


async def test_a_connection_that_breaks_writes_nothing_and_is_replaced(store):
    with pytest.raises(StoreUnavailableError):
        await _accept_over_a_broken_connection(store)
    assert await dump(store, operations) == {}
    await accept(store, [link_message(uuid4())])
    assert len(await dump(store, operations)) == 1


async def _accept_over_a_broken_connection(store):
    async with store.begin() as uow:
        await uow.operations.accept_batch([link_message(uuid4())])
        backend = (await uow.connection.execute(sa.func.pg_backend_pid())).scalar_one()
        async with store.read() as other:
            await other.connection.execute(sa.select(sa.func.pg_terminate_backend(backend)))
        await uow.operations.accept_batch([link_message(uuid4())])


async def test_the_time_of_a_transaction_is_the_databases(emptied):
    async with Store(emptied) as store, store.read() as before, store.begin() as uow, store.read() as after:
        assert before.now <= uow.now <= after.now
        started = (await uow.connection.execute(sa.func.now())).scalar_one()
        assert started <= uow.now


async def test_batches_of_every_size_share_their_statements(store):
    async with store.begin() as uow:
        for size in range(1, 6):
            operation_id = uuid4()
            messages = [link_message(operation_id, link) for link in range(size)]
            await uow.operations.accept_batch(messages)
            written = await uow.executions.accept_batch(messages)
            await uow.executions.by_ids(list(written))
        prepared = await uow.connection.execute(sa.text("SELECT statement FROM pg_prepared_statements"))
        ours = [statement for statement in prepared.scalars() if "checking_engine.execution_results" in statement]
        assert len(ours) == 2
