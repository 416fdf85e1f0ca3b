"""Engines for the two databases, and what their errors mean.

SQLite: one writer connection that starts every transaction with ``BEGIN IMMEDIATE`` (a deferred one that reads,
then writes, loses updates without an error) and a separate read-only engine, so that reads never wait for writers.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import sqlalchemy as sa
from msgspec import json
from sqlalchemy import exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from checking_core.errors import ConfigurationError, SchemaOutdatedError, StoreRejectedError, StoreUnavailableError
from checking_core.storage.tables import SCHEMA

__all__ = [
    "connected",
    "disposed",
    "is_sqlite",
    "open_reader",
    "open_writer",
    "store_errors",
    "with_snapshots",
]

_OPTIONS: dict[str, Any] = {
    "json_serializer": lambda value: json.encode(value).decode(),
    "json_deserializer": json.decode,
    "hide_parameters": True,  # an error's text is logged, rows are not
}
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=5000", "temp_store=MEMORY")
_USED_AT = "used_at"
_PINGED_AFTER = 0.5
"""Seconds without use after which a connection is asked whether it is still there."""
_REJECTED = ("22", "23")
_OUTDATED = ("42P01", "42703", "3F000")


def is_sqlite(url: str) -> bool:
    """Whether this URL is the embedded default's kind."""
    return url.startswith("sqlite")


def open_writer(url: str) -> AsyncEngine:
    """The engine that transactions of the flow use. Nothing is connected yet."""
    if not is_sqlite(url):
        return _postgres(url)
    return _sqlite(url, begin="BEGIN IMMEDIATE", pragmas=_PRAGMAS, poolclass=StaticPool)


def open_reader(url: str) -> AsyncEngine:
    """The engine for reads, each statement for itself: its own connections on SQLite, refused any write."""
    if not is_sqlite(url):
        options = {"server_settings": {"default_transaction_read_only": "on"}}
        return _postgres(url, isolation_level="AUTOCOMMIT", connect_args=options)
    return _sqlite(url, begin="BEGIN", pragmas=(*_PRAGMAS, "query_only=ON"), pool_size=4)


def with_snapshots(reader: AsyncEngine) -> AsyncEngine:
    """The same, all statements of a transaction in one snapshot; on SQLite they are anyway."""
    if reader.dialect.name == "sqlite":
        return reader
    return reader.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")


def _postgres(url: str, **options: Any) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=10, max_overflow=0, pool_timeout=10, **options, **_OPTIONS)
    sa.event.listen(engine.sync_engine, "do_connect", _connect_to_postgres)
    sa.event.listen(engine.sync_engine, "checkin", _note_use)
    gone = (OSError, engine.dialect.loaded_dbapi.Error)

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def ping_if_idle(raw: Any, record: Any, _: Any) -> None:
        """A connection that was used a moment ago is there; asking each time whether it is costs more than the work."""
        if monotonic() - record.info.get(_USED_AT, monotonic()) >= _PINGED_AFTER:
            try:
                raw.ping()
            except gone as error:
                raise exc.DisconnectionError from error  # the pool opens another one

    return engine


def _note_use(_: Any, record: Any) -> None:
    record.info[_USED_AT] = monotonic()


def _connect_to_postgres(dialect: Any, _: Any, args: Any, options: Any) -> Any:
    """Connect; SQLAlchemy lets the driver's own errors through here, unlike everywhere else."""
    driver = dialect.loaded_dbapi.asyncpg
    try:
        return dialect.connect(*args, **options)
    except (driver.InvalidAuthorizationSpecificationError, driver.InvalidCatalogNameError) as error:
        raise StoreUnavailableError(
            f"the database refuses: {_first_line(error)}; correct CHECKING_DATABASE_URL"
        ) from error
    except (OSError, TimeoutError, driver.PostgresError, driver.InterfaceError) as error:
        raise StoreUnavailableError(f"{_unavailable(error)}; start it, or correct CHECKING_DATABASE_URL") from error


def _sqlite(url: str, *, begin: str, pragmas: Sequence[str], **pool: Any) -> AsyncEngine:
    path = sa.make_url(url).database
    if path in (None, "", ":memory:"):
        raise ConfigurationError("the database has to be a file: write CHECKING_DATABASE_URL=sqlite:///checking.db")
    engine = create_async_engine(url, **pool, **_OPTIONS)

    @sa.event.listens_for(engine.sync_engine, "do_connect")
    def open_once(*_: Any) -> None:
        """Create the folder and try the file: where it cannot be opened, the driver would leave a thread behind."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path)):
                pass
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailableError(
                f"{path} cannot be opened: {error}; correct CHECKING_DATABASE_URL, or who may write there"
            ) from error

    @sa.event.listens_for(engine.sync_engine, "connect")
    def set_up(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # the driver must not begin transactions behind our back
        cursor = raw.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine.execution_options(schema_translate_map={SCHEMA: None})


def connected(engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
    """A connection for the block."""
    return _connected_to_the_end(engine) if engine.dialect.name == "sqlite" else engine.connect()


@asynccontextmanager
async def _connected_to_the_end(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One that is opened and closed to the end even for a caller who is cancelled meanwhile.

    One of SQLite that is cut off there leaves a thread behind, which reports to an event loop that may be closed by
    then.
    """
    connection = engine.connect()
    try:
        await _to_the_end(connection.start())
        yield connection
    finally:
        if connection.sync_connection is not None:
            await _to_the_end(connection.close())


async def disposed(engine: AsyncEngine) -> None:
    """Close what the engine keeps open, all of it even for a caller who is cancelled meanwhile."""
    await _to_the_end(engine.dispose())


async def _to_the_end(step: Coroutine[Any, Any, object]) -> None:
    """Wait for it; cancelled meanwhile, wait nevertheless and pass the cancellation on."""
    task = asyncio.create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextmanager
def store_errors() -> Iterator[None]:
    """Say what a driver's error means for the flow: wait, dead-letter, or migrate.

    A refusal leaves the driver's error behind: its further lines quote the row, and would reach the log.

    Raises:
        StoreUnavailableError: no connection, no space, a lock, a deadlock: the same work may succeed later.
        StoreRejectedError: the data itself was refused.
        SchemaOutdatedError: a table or column is missing.
    """
    try:
        yield
    except (OSError, TimeoutError, exc.TimeoutError) as error:
        raise _unavailable(error) from error
    except exc.DBAPIError as error:
        meaning = _meaning(error)
        raise meaning from (None if isinstance(meaning, StoreRejectedError) else error)
    except exc.StatementError as error:  # a value that our types refuse
        raise _rejected(error.orig or error) from None
    except (OverflowError, UnicodeError) as error:  # a value that SQLite's driver refuses; SQLAlchemy does not wrap it
        raise _rejected(error) from None


def _meaning(error: exc.DBAPIError) -> Exception:
    cause = error.orig or error
    cause = cause.__cause__ or cause  # asyncpg's own error below the one that SQLAlchemy makes of it
    state = getattr(cause, "sqlstate", None) or ""
    text = _first_line(cause)
    if state in _OUTDATED or "no such table" in text or "has no column named" in text or "no such column" in text:
        return SchemaOutdatedError(f"the database schema is not this version's ({text}); run: checking db upgrade")
    # a driver refuses a number that does not fit before the database sees it, with an error of its own class
    if "file is not a database" in text:
        return StoreUnavailableError(f"{text}; correct CHECKING_DATABASE_URL")
    if "readonly database" in text:
        return StoreUnavailableError("the database may only be read: correct who may write its file and its folder")
    refused = isinstance(error, exc.DataError | exc.IntegrityError) or isinstance(cause, ValueError | OverflowError)
    return _rejected(cause) if refused or state.startswith(_REJECTED) else _unavailable(cause)


def _rejected(error: BaseException) -> StoreRejectedError:
    return StoreRejectedError(f"the database refused the data: {_first_line(error)}")


def _unavailable(error: BaseException) -> StoreUnavailableError:
    return StoreUnavailableError(f"the database does not answer: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]
