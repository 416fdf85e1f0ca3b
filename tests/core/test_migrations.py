"""The schema comes from migrations alone, on both databases, and is the one that the statements are written for."""

import asyncio
import re
import secrets

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from tests.services import fresh_database

from checking_core.errors import ConfigurationError, SchemaOutdatedError
from checking_core.storage import Store, migrate
from checking_core.storage.tables import SCHEMA, metadata


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'deep' / 'er' / '100%.db'}"
        return
    with fresh_database(request.getfixturevalue("postgres_server_url")) as url:
        yield url


async def inside(url, work):
    """What the work finds on a connection of the database."""
    async with Store(url) as store, store.begin() as uow:
        return await uow.connection.run_sync(work)


def schema_of(connection):
    return None if connection.dialect.name == "sqlite" else SCHEMA


def everything(connection):
    """All that the database knows of our tables, in a form that can be compared."""
    inspector, schema = sa.inspect(connection), schema_of(connection)
    names = set(inspector.get_table_names(schema)) - {"alembic_version"}
    return {name: table(inspector, name, schema) for name in names}


def table(inspector, name, schema):
    columns = inspector.get_columns(name, schema)
    return {
        "columns": [(column["name"], str(column["type"]), column["nullable"]) for column in columns],
        "keys": [inspector.get_pk_constraint(name, schema), *ordered(inspector.get_foreign_keys(name, schema))],
        "unique": ordered(inspector.get_unique_constraints(name, schema)),
        "checks": ordered(inspector.get_check_constraints(name, schema)),
        "indexes": ordered(inspector.get_indexes(name, schema)),
    }


def ordered(items):
    return sorted(re.sub(r"\s+", " ", repr(sorted(plain(item).items()))) for item in items)


def plain(item):
    """The same with SQL expressions as their text."""
    return {key: plain(value) if isinstance(value, dict) else str(value) for key, value in item.items()}


async def test_upgrade_check_downgrade_and_upgrade_again(url):
    await migrate.upgrade(url)
    await migrate.check(url)
    assert await migrate.current(url) == migrate.head()
    first = await inside(url, everything)
    await migrate.downgrade(url, "base")
    assert await migrate.current(url) is None
    assert await inside(url, everything) == {}
    await migrate.upgrade(url)
    await migrate.check(url)
    assert await inside(url, everything) == first
    assert set(first) == {name.split(".")[-1] for name in metadata.tables}


async def test_upgrading_twice_changes_nothing(url):
    await migrate.upgrade(url)
    first = await inside(url, everything)
    await migrate.upgrade(url)
    assert await inside(url, everything) == first


async def test_alembic_finds_no_difference_between_migrations_and_tables(url):
    await migrate.upgrade(url)

    def differences(connection):
        schema = schema_of(connection)
        wanted = sa.MetaData(naming_convention=metadata.naming_convention)
        for one in metadata.sorted_tables:
            one.to_metadata(wanted, schema=schema, referred_schema_fn=lambda *_: schema or sa.schema.BLANK_SCHEMA)
        options = {"version_table_schema": schema, "include_schemas": schema is not None}
        return compare_metadata(MigrationContext.configure(connection, opts=options), wanted)

    assert await inside(url, differences) == []


async def test_migrations_make_what_the_tables_say_to_the_last_constraint(url, request):
    await migrate.upgrade(url)
    migrated = await inside(url, everything)
    await migrate.downgrade(url, "base")
    await inside(url, metadata.create_all)
    assert await inside(url, everything) == migrated
    assert any(found["checks"] for found in migrated.values())


async def test_a_check_of_an_empty_database_names_the_command(url):
    with pytest.raises(SchemaOutdatedError, match=f"revision none.*needs {migrate.head()}; run: checking db upgrade"):
        await migrate.check(url)


async def test_a_check_of_a_newer_database_names_the_remedy(url):
    await migrate.upgrade(url)
    async with Store(url) as store, store.begin() as uow:
        name = "alembic_version" if store.embedded else f"{SCHEMA}.alembic_version"
        await uow.connection.execute(sa.text(f"UPDATE {name} SET version_num = '9999'"))
    for work in (migrate.check(url), migrate.upgrade(url), migrate.downgrade(url, "base")):
        with pytest.raises(SchemaOutdatedError, match=r"newer release.*9999.*install"):
            await work


async def test_an_unknown_revision_is_told_in_one_line(url):
    for work in (migrate.upgrade(url, "nonsense"), migrate.downgrade(url, "nonsense")):
        with pytest.raises(ConfigurationError, match="nonsense"):
            await work
    assert await migrate.current(url) is None


async def test_two_who_upgrade_at_the_same_time_make_one_schema(url):
    await asyncio.gather(*(migrate.upgrade(url) for _ in range(4)))
    await migrate.check(url)
    assert len(await inside(url, everything)) == len(metadata.tables)


async def test_a_role_that_owns_only_the_schema_can_migrate(postgres_server_url):
    role, password = f"checking_{secrets.token_hex(4)}", secrets.token_hex(8)
    with fresh_database(postgres_server_url) as url:
        async with Store(url) as store, store.begin() as uow:
            await uow.connection.execute(sa.text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
            await uow.connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {role}"))
        own = sa.make_url(url).set(username=role, password=password).render_as_string(hide_password=False)
        try:
            await migrate.upgrade(own)
            assert await migrate.current(own) == migrate.head()
        finally:
            async with Store(url) as store, store.begin() as uow:
                await uow.connection.execute(sa.text(f"DROP OWNED BY {role} CASCADE"))
                await uow.connection.execute(sa.text(f"DROP ROLE {role}"))


async def test_a_reader_tells_the_revision(url):
    await migrate.upgrade(url)
    async with Store(url) as store, store.read() as uow:
        assert await migrate.revision(uow.connection) == migrate.head()
