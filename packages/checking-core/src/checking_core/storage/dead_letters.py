"""Messages that could not be accepted, kept with their reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from checking_core.storage.listing import Page, page_of
from checking_core.storage.tables import dead_letters

__all__ = ["DeadLetters"]


class DeadLetters:
    """Asks and answers about dead letters, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add_batch(self, letters: Sequence[dict[str, Any]]) -> None:
        """Keep messages: ``queue``, ``body``, ``reason``; ``message_id``, ``origin`` and ``headers`` if known."""
        unknown = {"message_id": None, "origin": None, "headers": None}
        rows = [{**unknown, **letter, "id": uuid7(), "created_at": self._now} for letter in letters]
        if rows:
            await self._connection.execute(sa.insert(dead_letters), rows)

    async def list(self, *, page: int = 1, size: int = 100) -> Page:
        """A page of dead letters, newest first."""
        order = (dead_letters.c.created_at.desc(), dead_letters.c.id.desc())
        return await page_of(self._connection, sa.select(dead_letters), order, page=page, size=size)

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One dead letter."""
        query = sa.select(dead_letters).where(dead_letters.c.id == key)
        return (await self._connection.execute(query)).mappings().one_or_none()

    async def delete(self, key: UUID) -> bool:
        """Forget one; whether it was there."""
        result = await self._connection.execute(sa.delete(dead_letters).where(dead_letters.c.id == key))
        return bool(result.rowcount)
