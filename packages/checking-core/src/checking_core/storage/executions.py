"""Execution results in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from msgspec import to_builtins
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import ColumnCollection

from checking_core.contracts import ExecutionFacts, LinkMessage, execution_id_of
from checking_core.storage.batch import Insert, insert_rows, one_of
from checking_core.storage.filters import ANY_EXECUTION, ExecutionFilter, ExecutionOrder, executions_where
from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.tables import execution_results, operations

__all__ = ["Executions", "told_order"]

Columns: TypeAlias = "ColumnCollection[str, sa.ColumnElement[Any]]"


class Executions:
    """Asks and answers about executions, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def accept_batch(self, messages: Sequence[LinkMessage]) -> dict[UUID, int]:
        """Store executions, idempotent on (operation, link).

        A later and different result of a link becomes a new revision of its row; anything else changes nothing.

        Later is what ``told_order`` says. The operations must have been accepted before, in the same transaction.

        Returns:
            The revision, by row id, of each row that was written; 1 is a new row. Of several messages of one link
            in the batch each counts, in their order.
        """
        written: dict[UUID, int] = {}
        for told in _rounds(messages):
            rows = [self._row(message) for message in told]
            revised = await self._write(rows)
            if len(revised) < len(rows):
                await self._note_repeated([row for row in rows if row["id"] not in revised])
            written |= revised
        return written

    async def _write(self, rows: Sequence[dict[str, Any]]) -> dict[UUID, int]:
        result = await insert_rows(self._connection, execution_results, rows, _or_revise)
        return {row.id: row.revision for row in result}

    async def _note_repeated(self, rows: Sequence[dict[str, Any]]) -> None:
        """Remember when a result was last told, so that what was told before it stays older."""
        await insert_rows(self._connection, execution_results, rows, _or_note)

    def _row(self, message: LinkMessage) -> dict[str, Any]:
        execution = message.execution
        assert execution is not None  # noqa: S101 - callers pass link messages only
        procedure = execution.procedure
        return {
            "id": execution_id_of(message.operation.operation_id, execution.link_id),
            "operation_id": message.operation.operation_id,
            "revision": 1,
            "agent": to_builtins(execution.agent) or None,
            "procedure_id": procedure.id,
            "procedure_name": procedure.name,
            "tactic": procedure.tactic,
            "technique_id": procedure.technique_id,
            "technique_name": procedure.technique_name,
            "procedure_fingerprint": procedure.fingerprint,
            "raw_message": message.raw,
            "reported_at": message.timestamp,
            "created_at": self._now,
            **{name: getattr(execution, name) for name in _SAME_NAME},
        }

    async def by_ids(self, ids: Sequence[UUID]) -> dict[UUID, sa.RowMapping]:
        """Executions by row id with their ``operation_started_at``, without the bulky columns."""
        query = (
            sa.select(*_SLIM, operations.c.operation_start.label("operation_started_at"))
            .join(operations, operations.c.operation_id == execution_results.c.operation_id)
            .where(one_of(self._connection, execution_results.c.id, ids))
        )
        return {row["id"]: row for row in (await self._connection.execute(query)).mappings()}

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One execution with its output, without the message that told of it."""
        return (await self._connection.execute(_ONE, {"key": key})).mappings().one_or_none()

    async def lock(self, key: UUID) -> sa.RowMapping | None:
        """The same, held until the transaction ends: nothing can be added to it meanwhile."""
        return (await self._connection.execute(_ONE.with_for_update(), {"key": key})).mappings().one_or_none()

    async def delete(self, key: UUID) -> None:
        """Forget an execution with its checks and their results."""
        await self._connection.execute(sa.delete(execution_results).where(execution_results.c.id == key))

    async def correct(self, key: UUID, **columns: Any) -> None:
        """Write what a person corrects. A later message of the link may tell otherwise again."""
        update = sa.update(execution_results).where(execution_results.c.id == key).values(**columns)
        await self._connection.execute(update)

    async def list(
        self,
        paging: Paging = FIRST_PAGE,
        wanted: ExecutionFilter = ANY_EXECUTION,
        order: ExecutionOrder = ExecutionOrder.NEWEST,
    ) -> Page:
        """A page of executions without the bulky columns. Raises ``RejectedMessageError`` for a wrong cursor."""
        return await _LISTED.page(self._connection, executions_where(wanted), sort=order, paging=paging)

    async def of_operation(self, operation_id: UUID) -> Sequence[sa.RowMapping]:
        """Every execution of an operation in the order they started, without the bulky columns."""
        query = (
            sa.select(*_SLIM)
            .where(execution_results.c.operation_id == operation_id)
            .order_by(execution_results.c.started_at, execution_results.c.id)
        )
        return (await self._connection.execute(query)).mappings().all()

    async def raw(self, key: UUID) -> tuple[str, datetime] | None:
        """The message that told of an execution, as it arrived, and its time."""
        told = execution_results.c
        query = sa.select(told.raw_message, told.reported_at).where(told.id == key, told.raw_message.is_not(None))
        return (await self._connection.execute(query)).tuples().one_or_none()

    async def raw_of_operation(self, operation_id: UUID) -> Sequence[str]:
        """The message of every execution of an operation as it arrived, in the order they started."""
        query = (
            sa.select(execution_results.c.raw_message)
            .where(execution_results.c.operation_id == operation_id, execution_results.c.raw_message.is_not(None))
            .order_by(execution_results.c.started_at, execution_results.c.id)
        )
        return (await self._connection.execute(query)).scalars().all()


_SAME_NAME = tuple(
    field for field in ExecutionFacts.__struct_fields__ if field in execution_results.c and field != "agent"
)
_SLIM = tuple(column for column in execution_results.c if column.name not in ("raw_message", "result_data"))
_LISTED = Listed(execution_results, sa.select(*_SLIM))
_ONE = sa.select(*_SLIM, execution_results.c.result_data).where(execution_results.c.id == sa.bindparam("key"))
"""Built once: to build it anew takes longer than to ask it."""
_OF_MESSAGE = ("raw_message", "reported_at")
_OF_ROW = ("id", "operation_id", "link_id", "revision", "created_at")
_FACTS = tuple(column.name for column in execution_results.c if column.name not in (*_OF_ROW, *_OF_MESSAGE))
_NEVER = datetime.min.replace(tzinfo=UTC)


def told_order(message: LinkMessage) -> tuple[datetime, datetime]:
    """Sorts the messages of one link: by end of the execution, an unknown end first, then by their own time."""
    assert message.execution is not None  # noqa: S101 - callers pass link messages only
    return message.execution.finished_at or _NEVER, message.timestamp


def _or_revise(statement: Insert) -> sa.Executable:
    new, old = statement.excluded, execution_results.c
    told = {name: _told(new[name], old[name]) for name in _FACTS}
    different = sa.or_(*(value.is_distinct_from(old[name]) for name, value in told.items()))
    return statement.on_conflict_do_update(
        index_elements=[old.id],
        set_=told | {name: new[name] for name in _OF_MESSAGE} | {"revision": old.revision + 1},
        where=sa.and_(_later(new, old), different),
    ).returning(old.id, old.revision)


def _or_note(statement: Insert) -> sa.Executable:
    new, old = statement.excluded, execution_results.c
    return statement.on_conflict_do_update(
        index_elements=[old.id], set_={"reported_at": new.reported_at}, where=_later(new, old)
    )


def _told(new: sa.ColumnElement[Any], old: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A source that does not tell a fact (an operation's export has no output) does not erase it."""
    nullable = isinstance(old, sa.Column) and old.nullable
    return sa.func.coalesce(new, old) if nullable else new


def _later(new: Columns, old: Columns) -> sa.ColumnElement[bool]:
    """``told_order`` in SQL. The same text again is never later: it may have no time but that of its receipt."""
    return sa.and_(
        new.raw_message.is_distinct_from(old.raw_message),
        sa.or_(
            sa.and_(new.finished_at.is_not(None), old.finished_at.is_(None)),
            new.finished_at > old.finished_at,
            sa.and_(new.finished_at.is_not_distinct_from(old.finished_at), new.reported_at > old.reported_at),
        ),
    )


def _rounds(messages: Sequence[LinkMessage]) -> list[list[LinkMessage]]:
    """The messages in rounds that hold each link once, earlier results first: one statement cannot write a row twice.

    Each round is ordered by row id, so that parallel batches lock rows in the same order.
    """
    by_link: dict[UUID, list[LinkMessage]] = {}
    for message in sorted(messages, key=told_order):
        assert message.execution is not None  # noqa: S101 - callers pass link messages only
        row_id = execution_id_of(message.operation.operation_id, message.execution.link_id)
        by_link.setdefault(row_id, []).append(message)
    depth = max(map(len, by_link.values()), default=0)
    return [[told[k] for _, told in sorted(by_link.items()) if len(told) > k] for k in range(depth)]
