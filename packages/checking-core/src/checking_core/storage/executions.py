"""Execution results in the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from msgspec import to_builtins
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.contracts import ExecutionFacts, LinkMessage, execution_id_of
from checking_core.storage.tables import execution_results
from checking_core.storage.upsert import insert

__all__ = ["Executions"]

_KEPT = {"id", "operation_id", "link_id", "revision", "created_at"}


class Executions:
    """Asks and answers about executions, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def accept_batch(self, messages: Sequence[LinkMessage]) -> dict[UUID, int]:
        """Store executions, idempotent on (operation, link).

        A later and different result of a link becomes a new revision of its row; anything else changes nothing.

        Returns:
            The revision, by row id, of each row that was written; 1 is a new row. Of several messages of one link
            in the batch each counts, in the order of their times.
        """
        written: dict[UUID, int] = {}
        rounds = _rounds(messages)
        for rows in rounds:
            written |= await self._upsert([self._row(message) for message in rows])
        return written

    async def _upsert(self, rows: list[dict[str, Any]]) -> dict[UUID, int]:
        statement = insert(self._connection, execution_results)
        new, old = statement.excluded, execution_results.c
        later = sa.or_(
            sa.and_(new.finished_at.is_not(None), old.finished_at.is_(None)),
            new.finished_at > old.finished_at,
            sa.and_(
                new.finished_at.is_not_distinct_from(old.finished_at),
                new.reported_at > old.reported_at,
                new.link_state != old.link_state,
            ),
        )
        changed = {column.name: new[column.name] for column in execution_results.c if column.name not in _KEPT}
        result = await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[old.operation_id, old.link_id],
                set_={**changed, "revision": old.revision + 1},
                where=later,
            ).returning(old.id, old.revision),
            rows,
        )
        return {row.id: row.revision for row in result}

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
        """Executions by row id, without the bulky columns."""
        query = sa.select(*_SLIM).where(execution_results.c.id.in_(ids))
        return {row["id"]: row for row in (await self._connection.execute(query)).mappings()}

    async def of_operation(self, operation_id: UUID) -> Sequence[sa.RowMapping]:
        """Every execution of an operation in the order they started, without the bulky columns."""
        query = (
            sa.select(*_SLIM)
            .where(execution_results.c.operation_id == operation_id)
            .order_by(execution_results.c.started_at, execution_results.c.id)
        )
        return (await self._connection.execute(query)).mappings().all()

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


def _rounds(messages: Sequence[LinkMessage]) -> list[list[LinkMessage]]:
    """The messages in rounds that hold each link once, earlier results first: one statement cannot write a row twice.

    Each round is ordered by row id, so that parallel batches lock rows in the same order.
    """
    by_link: dict[UUID, list[LinkMessage]] = {}
    for message in messages:
        execution = message.execution
        assert execution is not None  # noqa: S101 - callers pass link messages only
        by_link.setdefault(execution_id_of(message.operation.operation_id, execution.link_id), []).append(message)
    for told in by_link.values():
        told.sort(key=lambda one: ((one.execution and one.execution.finished_at) or one.timestamp, one.timestamp))
    depth = max(map(len, by_link.values()), default=0)
    return [[told[k] for _, told in sorted(by_link.items()) if len(told) > k] for k in range(depth)]
