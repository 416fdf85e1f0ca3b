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
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from checking_core.errors import SchemaOutdatedError
from checking_core.storage.engine import is_sqlite, open_writer, store_errors
from checking_core.storage.tables import SCHEMA

__all__ = ["check", "current", "downgrade", "head", "setup_sql", "upgrade"]

T = TypeVar("T")


def head() -> str:
    """The revision that this release needs."""
    found = ScriptDirectory.from_config(_config()).get_current_head()
    assert found is not None  # noqa: S101 - the package ships at least one
    return found


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema to a revision. Raises ``StoreUnavailableError``."""
    await _with_connection(url, lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to a revision; ``base`` removes everything. Raises ``StoreUnavailableError``."""
    await _with_connection(url, lambda connection: command.downgrade(_config(connection), revision))


async def current(url: str) -> str | None:
    """The revision the database is at; ``None`` if it has no tables of ours."""
    return await _with_connection(url, _current)


async def check(url: str) -> None:
    """Raise ``SchemaOutdatedError`` unless the database is at the revision that this release needs."""
    found, wanted = await current(url), head()
    if found != wanted:
        raise SchemaOutdatedError(
            f"the database schema is at revision {found or 'none'}, this release needs {wanted};"
            " run: checking db upgrade"
        )


def setup_sql(role: str, database: str) -> str:
    """The SQL an administrator runs once on PostgreSQL: role, database and schema; the password is asked for."""
    quoted = {"role": _quoted(role), "database": _quoted(database)}
    return (
        "CREATE ROLE {role} LOGIN;\n"
        "\\password {role}\n"
        "CREATE DATABASE {database} OWNER {role} ENCODING 'UTF8' TEMPLATE template0;\n"
        "\\connect {database}\n"
        "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {role};\n"
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;\n"
    ).format(**quoted, schema=SCHEMA)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _with_connection(url: str, work: Callable[[sa.Connection], T]) -> T:
    with store_errors():
        engine = open_writer(url) if is_sqlite(url) else _one_connection(url)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(work)
        finally:
            await engine.dispose()


def _one_connection(url: str) -> AsyncEngine:
    return create_async_engine(url, poolclass=NullPool)


def _current(connection: sa.Connection) -> str | None:
    schema = None if connection.dialect.name == "sqlite" else SCHEMA
    context = MigrationContext.configure(connection, opts={"version_table_schema": schema})
    return context.get_current_revision()


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
