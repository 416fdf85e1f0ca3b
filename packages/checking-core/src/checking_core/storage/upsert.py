"""``INSERT ... ON CONFLICT`` for whichever of the two databases is behind a connection."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["insert"]


def insert(connection: AsyncConnection, table: sa.Table) -> postgresql.Insert:
    """The dialect's own insert; both know the same ``on_conflict_*``, so callers need not know which it is."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)  # type: ignore[return-value]
    return postgresql.insert(table)
