"""The rows that the command leaves in SQLite, read by another process and without any code of ours."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

TABLES = (
    "operations",
    "execution_results",
    "detection_executions",
    "detection_results",
    "evidence_claims",
    "dead_letters",
)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{folder / 'checking.db'}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def everything(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in an order that says nothing."""
    return {table: sorted(rows(folder, f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def count(folder: Path, of: str) -> int:
    """How many rows there are ``of``: a table, and a condition if need be; none before there is a database."""
    with suppress(sqlite3.OperationalError):
        ((found,),) = rows(folder, f"SELECT count(*) FROM {of}")
        return int(found)
    return 0
