"""One process at a time runs the flow of an embedded store.

The in-process transport forgets its tasks at exit, so whoever starts the flow takes every lease back: two of them on
one file would take each other's work. The lock is SQLite's own, on an empty file beside the database: it works
wherever the database does, and it ends with its process, however that ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

from checking_core.errors import StoreUnavailableError

__all__ = ["flow_lock"]


@contextmanager
def flow_lock(url: str) -> Iterator[bool]:
    """Hold the flow of this database while the block runs.

    Yields:
        Whether it is held. False: somebody else does, who may be a part of this process. A database that is no file
        of SQLite needs no lock, so there it is always true.

    Raises:
        StoreUnavailableError: the file beside the database cannot be written.
    """
    if (database := _file(url)) is None:
        yield True
        return
    beside = Path(f"{database}.flow")
    with closing(_connected(beside)) as connection:
        yield _locked(connection, beside)


def _file(url: str) -> Path | None:
    """The database file; ``None`` where no second process can open the same database, or where many may."""
    parsed = sa.make_url(url)
    in_memory = parsed.database in (None, "", ":memory:") or parsed.query.get("mode") == "memory"
    if parsed.get_backend_name() != "sqlite" or in_memory:
        return None
    return Path(str(parsed.database)).resolve()


def _connected(beside: Path) -> sqlite3.Connection:
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(beside, timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailableError(
            f"{beside} cannot be written: {error}; correct CHECKING_DATABASE_URL, or who may write there"
        ) from error


def _locked(connection: sqlite3.Connection, beside: Path) -> bool:
    try:
        connection.execute("PRAGMA journal_mode=OFF")  # nothing is ever written: no second file
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise StoreUnavailableError(f"{beside} cannot be locked: {error}") from error
        return False
    return True
