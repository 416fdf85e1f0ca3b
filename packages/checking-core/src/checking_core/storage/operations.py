"""Operations in the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from checking_core.contracts import LinkMessage
from checking_core.storage.batch import Insert, insert_rows
from checking_core.storage.filters import ANY_OPERATION, OperationFilter, OperationOrder, operations_where
from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.notices import Notes
from checking_core.storage.tables import operations

__all__ = ["Operations"]


class Operations:
    """Asks and answers about operations, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime, notes: Notes) -> None:
        self._connection = connection
        self._now = now
        self._notes = notes

    async def accept_batch(self, messages: Iterable[LinkMessage]) -> set[UUID]:
        """Store every operation that the messages name, and hold their rows until the transaction ends.

        Of several states the one told last stands, of several names and starts the first that was stored; in
        whatever order and batches the messages come. That the rows are held, changed or not, keeps two batches of
        one operation from inserting the same executions at the same time.

        Returns:
            Operation ids of the rows that are new or tell something else now.
        """
        told: dict[UUID, list[LinkMessage]] = {}
        for message in sorted(messages, key=lambda message: message.timestamp):
            told.setdefault(message.operation.operation_id, []).append(message)
        if not told:
            return set()
        rows = [self._row(same) for _, same in sorted(told.items())]
        written = (await insert_rows(self._connection, operations, rows, _or_complete)).tuples().all()
        for operation_id, state in written:
            self._notes.operation(operation_id, state)
        return {operation_id for operation_id, _ in written}

    def _row(self, told: Sequence[LinkMessage]) -> dict[str, Any]:
        """What messages of one operation, oldest first, tell of it together."""
        operation = told[0].operation
        named = next((message.operation for message in told if message.operation.name), operation)
        started = next((message.operation for message in told if message.operation.operation_start), operation)
        stated = next((message for message in reversed(told) if message.operation.state), None)
        return {
            "id": uuid7(),
            "operation_id": operation.operation_id,
            "source": operation.source,
            "source_id": operation.source_id,
            "name": named.name,
            "operation_start": started.operation_start,
            "state": stated.operation.state if stated else None,
            "state_at": stated.timestamp if stated else None,
            "metadata": {"naive_start": True} if started.naive_start else None,
            "created_at": self._now,
            "updated_at": self._now,
        }

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """The operation with this row id or, if there is none, with this operation id."""
        return (await self._connection.execute(_ONE, {"key": key})).mappings().one_or_none()

    async def lock(self, key: UUID) -> sa.RowMapping | None:
        """The same, held until the transaction ends: nothing can be added to it meanwhile."""
        return (await self._connection.execute(_ONE.with_for_update(), {"key": key})).mappings().one_or_none()

    async def add(self, **columns: Any) -> sa.RowMapping | None:
        """Store an operation that no message told of: its row, or ``None`` if there is one of this ``operation_id``."""
        row = {"id": uuid7(), "state_at": self._now, **columns, "created_at": self._now, "updated_at": self._now}
        added = (await insert_rows(self._connection, operations, [row], _or_nothing)).mappings().one_or_none()
        if added is not None:
            self._notes.operation(columns["operation_id"], columns["state"])
        return added

    async def correct(self, operation_id: UUID, **columns: Any) -> None:
        """Write what a person corrects; a state told by a later message replaces theirs."""
        if "state" in columns:
            columns["state_at"] = self._now
        where = operations.c.operation_id == operation_id
        update = (
            sa.update(operations).where(where).values(**columns, updated_at=self._now).returning(operations.c.state)
        )
        for state in (await self._connection.scalars(update)).all():
            self._notes.operation(operation_id, state)

    async def delete(self, operation_id: UUID) -> None:
        """Forget an operation with its executions, their checks and results."""
        await self._connection.execute(sa.delete(operations).where(operations.c.operation_id == operation_id))

    async def named(self, name: str) -> Sequence[sa.RowMapping]:
        """Operations of this name or source id, newest first."""
        where = sa.or_(operations.c.name == name, operations.c.source_id == name)
        query = sa.select(operations).where(where).order_by(operations.c.created_at.desc(), operations.c.id.desc())
        return (await self._connection.execute(query)).mappings().all()

    async def list(
        self,
        paging: Paging = FIRST_PAGE,
        wanted: OperationFilter = ANY_OPERATION,
        order: OperationOrder = OperationOrder.NEWEST,
    ) -> Page:
        """A page of operations. Raises ``RejectedMessageError`` for a cursor of another list."""
        return await _LISTED.page(self._connection, operations_where(wanted), sort=order, paging=paging)


def _or_nothing(statement: Insert) -> sa.Executable:
    return statement.on_conflict_do_nothing().returning(operations)


def _or_complete(statement: Insert) -> sa.Executable:
    new, old = statement.excluded, operations.c
    newer = sa.and_(new.state.is_not(None), sa.or_(old.state_at.is_(None), new.state_at > old.state_at))
    named = sa.and_(old.name == "", new.name != "")
    started = sa.and_(old.operation_start.is_(None), new.operation_start.is_not(None))
    return statement.on_conflict_do_update(
        index_elements=[old.operation_id],
        set_={
            "state": sa.case((newer, new.state), else_=old.state),
            "state_at": sa.case((newer, new.state_at), else_=old.state_at),
            "name": sa.case((named, new.name), else_=old.name),
            "operation_start": sa.case((started, new.operation_start), else_=old.operation_start),
            "metadata": sa.case((started, new.metadata), else_=old.metadata),
            "updated_at": new.updated_at,
        },
        where=sa.or_(newer, named, started),
    ).returning(old.operation_id, old.state)


_LISTED = Listed(operations, sa.select(operations))
_KEY = sa.bindparam("key", type_=operations.c.id.type)
_ONE = (
    sa.select(operations)
    .where(sa.or_(operations.c.id == _KEY, operations.c.operation_id == _KEY))
    .order_by((operations.c.id == _KEY).desc())
    .limit(1)
)
