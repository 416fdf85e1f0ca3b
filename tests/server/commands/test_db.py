"""``checking db``: the schema of the database, and the database itself on PostgreSQL."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from checking_core.errors import ConfigurationError, SchemaOutdatedError, StoreUnavailableError
from checking_core.storage import migrate
from checking_core.storage.provision import scram_verifier
from checking_server.commands import db

Output = pytest.CaptureFixture[str]


async def test_a_schema_is_upgraded_checked_and_taken_back(capsys: Output):
    with pytest.raises(SchemaOutdatedError, match="checking db upgrade"):
        await db.check()
    await db.upgrade()
    await db.upgrade()
    await db.check()
    at_head = f"The schema is at revision {migrate.head()}."
    told = capsys.readouterr().out.splitlines()
    assert told == [at_head, f"{at_head} It was there already.", f"{at_head} This release needs it."]
    with pytest.raises(ConfigurationError, match="--yes"):
        await db.downgrade("base")
    await db.check()
    await db.downgrade("base", yes=True)
    with pytest.raises(SchemaOutdatedError):
        await db.check()


@pytest.mark.parametrize("revision", ["nosuch", "-7"])
async def test_a_revision_that_is_none_is_told(revision: str):
    await db.upgrade()
    with pytest.raises(ConfigurationError, match=f"revision {revision}"):
        await db.downgrade(revision, yes=True)


async def test_a_database_of_a_newer_release_is_told():
    await db.upgrade()
    engine = sa.create_engine(os.environ["CHECKING_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaOutdatedError, match="newer release"):
        await db.upgrade()


async def test_a_database_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/x")
    for verb in (db.upgrade, db.check):
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            await verb()


async def test_set_up_prints_quoted_statements(capsys: Output, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError, match="--role and --database"):
        await db.setup(role="only")
    monkeypatch.setenv("CHECKING_DATABASE_URL", "postgresql://us%22er:secret@db.example/checks")
    await db.setup(database='my"checks')
    told = capsys.readouterr().out
    assert 'CREATE ROLE "us""er" LOGIN;' in told
    assert 'CREATE DATABASE "my""checks" OWNER "us""er"' in told
    assert "secret" not in told


@pytest.mark.parametrize("url", ["mysql://db.example/x", "sqlite:///x.db", "nonsense"])
async def test_set_up_runs_on_postgresql_only(url: str):
    with pytest.raises(ConfigurationError, match="--run: is no URL of PostgreSQL"):
        await db.setup(role="a", database="b", run=url)


@pytest.fixture
async def new_database(postgres_server_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of a role and a database that do not exist yet, set for the commands; both are dropped afterwards."""
    name = f'set "up" {uuid4().hex[:8]}'
    own = sa.make_url(postgres_server_url).set(username=name, password="se'cret", database=name)
    url = own.render_as_string(hide_password=False)
    monkeypatch.setenv("CHECKING_DATABASE_URL", url)
    yield url
    engine = create_async_engine(postgres_server_url, isolation_level="AUTOCOMMIT")
    quoted = engine.dialect.identifier_preparer.quote_identifier(name)
    async with engine.connect() as connection:
        await connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted}")
        await connection.exec_driver_sql(f"DROP ROLE IF EXISTS {quoted}")
    await engine.dispose()


@pytest.mark.postgres
async def test_set_up_creates_what_is_missing_and_keeps_what_is_there(
    postgres_server_url: str, new_database: str, capsys: Output
):
    await db.setup(run=postgres_server_url)
    first = capsys.readouterr().out.splitlines()
    await db.setup(run=postgres_server_url)
    second = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in first] == ["Created", "Created", "Created", "Next:"]
    assert ["is there already" in line for line in second] == [True, True, True, False]
    await db.upgrade()
    await db.check()


@pytest.mark.postgres
async def test_set_up_by_somebody_who_may_not_is_told(postgres_server_url: str, new_database: str):
    await db.setup(run=postgres_server_url)
    with pytest.raises(ConfigurationError, match="may not do this: permission denied"):
        await db.setup(role="another", database="another", run=new_database)


def test_a_password_reaches_the_server_as_its_verifier_only():
    """Salt and password of the example in RFC 7677; the keys are those that its client and server prove to have."""
    verifier = scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    assert verifier == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
        "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert scram_verifier("pencil") != scram_verifier("pencil")
