"""Operations in the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from checking_core.contracts import LinkMessage, OperationFacts
from checking_core.storage.listing import Page, page_of
from checking_core.storage.tables import operations
from checking_core.storage.upsert import insert

__all__ = ["Operations"]


class Operations:
    """Asks and answers about operations, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def accept_batch(self, messages: Iterable[LinkMessage]) -> None:
        """Store every operation that the messages name; of several states the one told last stands."""
        latest: dict[UUID, LinkMessage] = {}
        for message in sorted(messages, key=lambda message: message.timestamp):
            latest[message.operation.operation_id] = message
        rows = [self._row(message.operation, message.timestamp) for _, message in sorted(latest.items())]
        if not rows:
            return
        statement = insert(self._connection, operations)
        newer = sa.and_(
            statement.excluded.state_at > sa.func.coalesce(operations.c.state_at, statement.excluded.state_at),
            sa.or_(
                operations.c.state.is_distinct_from(sa.func.coalesce(statement.excluded.state, operations.c.state)),
                sa.and_(operations.c.name == "", statement.excluded.name != ""),
            ),
        )
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[operations.c.operation_id],
                set_={
                    "state": sa.func.coalesce(statement.excluded.state, operations.c.state),
                    "state_at": statement.excluded.state_at,
                    "name": sa.case((statement.excluded.name != "", statement.excluded.name), else_=operations.c.name),
                    "operation_start": sa.func.coalesce(
                        operations.c.operation_start, statement.excluded.operation_start
                    ),
                    "updated_at": statement.excluded.updated_at,
                },
                where=newer,
            ),
            rows,
        )

    def _row(self, operation: OperationFacts, told_at: datetime) -> dict[str, Any]:
        return {
            "id": uuid7(),
            "operation_id": operation.operation_id,
            "source": operation.source,
            "source_id": operation.source_id,
            "name": operation.name,
            "operation_start": operation.operation_start,
            "state": operation.state,
            "state_at": told_at,
            "metadata": {"naive_start": True} if operation.naive_start else None,
            "created_at": self._now,
            "updated_at": self._now,
        }

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """The operation with this row id or operation id."""
        where = sa.or_(operations.c.id == key, operations.c.operation_id == key)
        return (await self._connection.execute(sa.select(operations).where(where))).mappings().one_or_none()

    async def named(self, name: str) -> Sequence[sa.RowMapping]:
        """Operations of this name or source id, newest first."""
        where = sa.or_(operations.c.name == name, operations.c.source_id == name)
        query = sa.select(operations).where(where).order_by(operations.c.created_at.desc(), operations.c.id.desc())
        return (await self._connection.execute(query)).mappings().all()

    async def list(self, *, page: int = 1, size: int = 100, state: str | None = None) -> Page:
        """A page of operations, newest first."""
        query = sa.select(operations)
        if state is not None:
            query = query.where(operations.c.state == state)
        order = (operations.c.created_at.desc(), operations.c.id.desc())
        return await page_of(self._connection, query, order, page=page, size=size)
