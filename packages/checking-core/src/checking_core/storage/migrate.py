"""The schema's versions: created, checked and changed by Alembic migrations only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.errors import ConfigurationError, SchemaOutdatedError
from checking_core.storage.engine import connected, disposed, open_writer, store_errors
from checking_core.storage.tables import SCHEMA

__all__ = ["check", "current", "downgrade", "head", "revision", "upgrade"]

T = TypeVar("T")

_ONE_AT_A_TIME = 0x636862
"""Number of the lock that a migration holds; claims have their own."""


def head() -> str:
    """The revision that this release needs."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None  # noqa: S101 - the package ships at least one
    return found


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision.

    Raises:
        ConfigurationError: this release knows no such revision.
        SchemaOutdatedError: a newer release made the schema.
        StoreUnavailableError: the database does not answer.
    """
    await _migrate(url, command.upgrade, revision)


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes everything. Raises as ``upgrade``."""
    await _migrate(url, command.downgrade, revision)


async def current(url: str) -> str | None:
    """The revision the database is at; ``None`` if it has no tables of ours."""
    return await _with_connection(url, _current)


async def revision(connection: AsyncConnection) -> str | None:
    """The revision of the database behind an open connection, which may be one that only reads."""
    return await connection.run_sync(_current)


async def check(url: str) -> None:
    """Raise ``SchemaOutdatedError`` unless the database is at the revision that this release needs."""
    found, wanted = await current(url), head()
    _refuse_unknown(found)
    if found != wanted:
        raise SchemaOutdatedError(
            f"the database schema is at revision {found or 'none'}, this release needs {wanted};"
            " run: checking db upgrade"
        )


async def _migrate(url: str, move: Callable[[Config, str], None], revision: str) -> None:
    def work(connection: sa.Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        _refuse_unknown(_current(connection))
        try:
            move(_config(connection), revision)
        except CommandError as error:
            raise ConfigurationError(f"revision {revision}: {error}") from error

    await _with_connection(url, work)


def _refuse_unknown(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise SchemaOutdatedError(
            f"a newer release of Checking made the database schema (revision {found}); install that release here"
        )


async def _with_connection(url: str, work: Callable[[sa.Connection], T]) -> T:
    with store_errors():
        engine = open_writer(url)
        try:
            async with connected(engine) as connection, connection.begin():
                return await connection.run_sync(work)
        finally:
            await disposed(engine)


def _current(connection: sa.Connection) -> str | None:
    schema = None if connection.dialect.name == "sqlite" else SCHEMA
    context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
    return context.get_current_revision()


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
