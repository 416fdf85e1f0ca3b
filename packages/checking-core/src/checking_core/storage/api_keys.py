"""API keys in the store: never the key itself, only what proves that somebody has it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.tables import api_keys

__all__ = ["ApiKeys", "use_is_due"]

_USE_NOTED_EVERY = timedelta(minutes=1)
"""When a key was used last is told to the minute: no write for every request."""


class ApiKeys:
    """Asks and answers about API keys, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add(self, **columns: Any) -> sa.RowMapping:
        """Store a key: ``id``, ``prefix``, ``secret_sha256``, ``name``, ``role``, ``scopes``, ``expires_at``."""
        insert = sa.insert(api_keys).values(**columns, created_at=self._now).returning(*_TOLD)
        return (await self._connection.execute(insert)).mappings().one()

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One key, with the hash of its secret."""
        return (
            (await self._connection.execute(sa.select(api_keys).where(api_keys.c.id == key))).mappings().one_or_none()
        )

    async def of_prefix(self, prefix: str) -> sa.RowMapping | None:
        """The key that begins like this, with the hash of its secret."""
        query = sa.select(api_keys).where(api_keys.c.prefix == prefix)
        return (await self._connection.execute(query)).mappings().one_or_none()

    async def list(self, paging: Paging = FIRST_PAGE) -> Page:
        """A page of keys, newest first, the revoked ones among them."""
        return await _LISTED.page(self._connection, [], sort="-created_at", paging=paging)

    async def revoke(self, key: UUID) -> sa.RowMapping | None:
        """Let a key be good for nothing from now on; as it is then. One that is revoked already stays as it is."""
        revoked = sa.func.coalesce(api_keys.c.revoked_at, self._now, type_=api_keys.c.revoked_at.type)
        update = sa.update(api_keys).where(api_keys.c.id == key).values(revoked_at=revoked).returning(*_TOLD)
        return (await self._connection.execute(update)).mappings().one_or_none()

    async def note_use(self, key: UUID) -> None:
        """Remember that a key was used just now."""
        update = sa.update(api_keys).where(api_keys.c.id == key).values(last_used_at=self._now)
        await self._connection.execute(update)


def use_is_due(row: sa.RowMapping, now: datetime) -> bool:
    """Whether it is time to note that this key is in use."""
    return row["last_used_at"] is None or now - row["last_used_at"] >= _USE_NOTED_EVERY


_TOLD: Sequence[sa.Column[Any]] = tuple(column for column in api_keys.c if column.name != "secret_sha256")
_LISTED = Listed(api_keys, sa.select(*_TOLD))
