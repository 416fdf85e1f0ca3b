"""Requests that were made under a key of their sender's own, and what they were answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.storage.batch import Insert, insert_rows
from checking_core.storage.tables import idempotency_keys

__all__ = ["IdempotencyKeys"]

_c = idempotency_keys.c
_KEPT_FOR = timedelta(days=1)
_UNDER_WAY_FOR = timedelta(minutes=1)
"""After that its process has died with it."""


class IdempotencyKeys:
    """Asks and answers about such requests, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def claim(self, key: UUID, fingerprint: str) -> sa.RowMapping | None:
        """Begin a request, unless it was begun before; forget those that are older than a day.

        Args:
            key: of whom, where, and the sender's own word.
            fingerprint: of what is wanted.

        Returns:
            What is known of the one that was begun before; its ``status`` is ``None`` while it is under way. Otherwise
            ``None``: it begins now, and the time of the transaction is its own from now on.
        """
        lost = sa.and_(_c.status.is_(None), _c.created_at < self._now - _UNDER_WAY_FOR)
        old = _c.created_at < self._now - _KEPT_FOR
        await self._connection.execute(sa.delete(idempotency_keys).where(sa.or_(old, sa.and_(_c.id == key, lost))))
        row = {"id": key, "fingerprint": fingerprint, "created_at": self._now}
        begun = await insert_rows(self._connection, idempotency_keys, [row], _or_nothing)
        if begun.scalar_one_or_none() is not None:
            return None
        query = sa.select(idempotency_keys).where(_c.id == key)
        return (await self._connection.execute(query)).mappings().one()

    async def keep(self, key: UUID, begun: datetime, *, status: int, media_type: str, body: bytes) -> None:
        """Keep what a request was answered, if nobody has taken it over meanwhile."""
        told = {"status": status, "media_type": media_type, "body": body}
        own = sa.and_(_c.id == key, _c.created_at == begun)
        await self._connection.execute(sa.update(idempotency_keys).where(own).values(**told))

    async def drop(self, key: UUID, begun: datetime) -> None:
        """Forget a request that changed nothing: it may be made again."""
        own = sa.and_(_c.id == key, _c.created_at == begun)
        await self._connection.execute(sa.delete(idempotency_keys).where(own))


def _or_nothing(statement: Insert) -> Any:
    return statement.on_conflict_do_nothing().returning(_c.id)
