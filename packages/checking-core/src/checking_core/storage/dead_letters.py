"""Messages that could not be accepted, kept with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from checking_core.storage.batch import one_of
from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.tables import dead_letters

__all__ = ["DeadLetters"]


class DeadLetters:
    """Asks and answers about dead letters, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add_batch(self, letters: Sequence[dict[str, Any]]) -> None:
        """Keep messages: ``queue``, ``body``, ``reason``; ``message_id``, ``origin`` and ``headers`` if known.

        One that brings its own ``id`` is kept once, however often it comes.
        """
        unknown = {"message_id": None, "origin": None, "headers": None}
        rows = [{"id": uuid7(), **unknown, **letter, "created_at": self._now} for letter in letters]
        if rows:
            insert = sqlite.insert if self._connection.dialect.name == "sqlite" else postgresql.insert
            await self._connection.execute(insert(dead_letters).on_conflict_do_nothing(), rows)

    async def list(self, paging: Paging = FIRST_PAGE, *, reason: str = "") -> Page:
        """A page of dead letters, newest first; with a text those that have it in their reason."""
        where = [_told(reason)] if reason else []
        return await _LISTED.page(self._connection, where, sort="-created_at", paging=paging)

    async def ids(self, reason: str = "") -> Sequence[UUID]:
        """All that there are, oldest first; with a text those that have it in their reason."""
        order = (dead_letters.c.created_at, dead_letters.c.id)
        return (
            await self._connection.scalars(sa.select(dead_letters.c.id).where(_told(reason)).order_by(*order))
        ).all()

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One dead letter."""
        return (await self.get_batch([key])).get(key)

    async def get_batch(self, keys: Sequence[UUID]) -> dict[UUID, sa.RowMapping]:
        """Those of these dead letters that are there."""
        query = sa.select(dead_letters).where(one_of(self._connection, dead_letters.c.id, keys))
        return {row["id"]: row for row in (await self._connection.execute(query)).mappings()}

    async def delete_batch(self, keys: Sequence[UUID]) -> set[UUID]:
        """Forget these; which of them were there."""
        gone = sa.delete(dead_letters).where(one_of(self._connection, dead_letters.c.id, keys))
        return set(await self._connection.scalars(gone.returning(dead_letters.c.id)))


def _told(reason: str) -> sa.ColumnElement[bool]:
    return dead_letters.c.reason.icontains(reason, autoescape=True) if reason else sa.true()


_LISTED = Listed(dead_letters, sa.select(dead_letters))
