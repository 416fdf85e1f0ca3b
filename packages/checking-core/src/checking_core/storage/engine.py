"""Engines for the two databases, and what their errors mean.

SQLite: one writer connection that starts every transaction with ``BEGIN IMMEDIATE`` (a deferred one that reads,
then writes, loses updates without an error) and a separate read-only engine, so that reads never wait for writers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from msgspec import json
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from checking_core.errors import SchemaOutdatedError, StoreRejectedError, StoreUnavailableError
from checking_core.storage.tables import SCHEMA

__all__ = ["is_sqlite", "open_reader", "open_writer", "store_errors"]

_OPTIONS: dict[str, Any] = {
    "json_serializer": lambda value: json.encode(value).decode(),
    "json_deserializer": json.decode,
}
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000", "temp_store=MEMORY")
_REJECTED = ("22", "23")
_OUTDATED = ("42P01", "42703", "3F000")


def is_sqlite(url: str) -> bool:
    """Whether this URL is the embedded default's kind."""
    return url.startswith("sqlite")


def open_writer(url: str) -> AsyncEngine:
    """The engine that transactions of the flow use. Nothing is connected yet."""
    if not is_sqlite(url):
        return create_async_engine(url, pool_size=5, max_overflow=5, pool_pre_ping=True, pool_timeout=10, **_OPTIONS)
    _create_folder(url)
    engine = create_async_engine(url, poolclass=StaticPool, **_OPTIONS)
    sa.event.listen(engine.sync_engine, "connect", _on_connect)
    sa.event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return _translated(engine)


def open_reader(url: str) -> AsyncEngine:
    """The engine for reads: its own connections on SQLite, refused any write."""
    if not is_sqlite(url):
        return create_async_engine(
            url,
            pool_size=5,
            max_overflow=5,
            pool_pre_ping=True,
            pool_timeout=10,
            execution_options={"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"},
            **_OPTIONS,
        )
    engine = create_async_engine(url, pool_size=4, **_OPTIONS)
    sa.event.listen(engine.sync_engine, "connect", _on_connect)
    sa.event.listen(engine.sync_engine, "connect", lambda raw, _: _set(raw, "query_only=ON"))
    sa.event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return _translated(engine)


@contextmanager
def store_errors() -> Iterator[None]:
    """Say what a driver's error means for the flow: wait, dead-letter, or migrate.

    Raises:
        StoreUnavailableError: no connection, no space, a lock, a deadlock: the same work may succeed later.
        StoreRejectedError: the data itself was refused.
        SchemaOutdatedError: a table or column is missing.
    """
    try:
        yield
    except (OSError, TimeoutError, exc.TimeoutError) as error:
        raise StoreUnavailableError(f"the database does not answer: {_first_line(error)}") from error
    except exc.DBAPIError as error:
        raise _meaning(error) from error
    except OverflowError as error:  # SQLite's driver, before SQLAlchemy can wrap it
        raise StoreRejectedError(f"the database refused the data: {_first_line(error)}") from error


def _meaning(error: exc.DBAPIError) -> Exception:
    state = getattr(error.orig, "sqlstate", None) or ""
    text = _first_line(error.orig or error)
    if state in _OUTDATED or "no such table" in text or "has no column named" in text or "no such column" in text:
        return SchemaOutdatedError(f"the database schema is not this version's ({text}); run: checking db upgrade")
    if (
        state.startswith(_REJECTED)
        or isinstance(error, exc.DataError | exc.IntegrityError)
        or _refused_by_driver(error)
    ):
        return StoreRejectedError(f"the database refused the data: {text}")
    return StoreUnavailableError(f"the database does not answer: {text}")


def _refused_by_driver(error: exc.DBAPIError) -> bool:
    """Drivers refuse a number that does not fit before the database sees it, and say so in their own classes."""
    causes = (error.orig, getattr(error.orig, "__cause__", None))
    return any(isinstance(cause, ValueError | OverflowError) for cause in causes)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]


def _create_folder(url: str) -> None:
    database = sa.make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)


def _on_connect(raw: Any, _: Any) -> None:
    raw.isolation_level = None  # the driver must not begin transactions behind our back
    _set(raw, *_PRAGMAS)


def _set(raw: Any, *pragmas: str) -> None:
    cursor = raw.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _translated(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(schema_translate_map={SCHEMA: None})
