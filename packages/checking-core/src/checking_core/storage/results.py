"""Detection results in the store: append-only, the newest of a check is the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.storage.tables import detection_executions, detection_results, evidence_claims
from checking_core.storage.upsert import insert

__all__ = ["Results"]


class Results:
    """Asks and answers about results, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append final results; one whose id is there already stays as it is."""
        if rows:
            dated = [{**row, "created_at": self._now} for row in sorted(rows, key=lambda row: row["id"])]
            await self._connection.execute(insert(self._connection, detection_results).on_conflict_do_nothing(), dated)

    async def claim_records(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note which records checks rest on: ``backend``, ``record_id``, ``check_id``, ``tier``."""
        if rows:
            await self._connection.execute(insert(self._connection, evidence_claims).on_conflict_do_nothing(), rows)

    async def current_of_operation(self, operation_id: UUID) -> Sequence[sa.RowMapping]:
        """Every check of an operation with its current result, if it has one; ``raw_response`` left out."""
        check, result = detection_executions.c, detection_results.c
        newest = (
            sa.func.row_number()
            .over(partition_by=result.detection_execution_id, order_by=(result.created_at.desc(), result.id.desc()))
            .label("age")
        )
        ranked = (
            sa.select(*(column for column in result if column.name not in _LEFT_OUT), newest)
            .join(detection_executions, check.id == result.detection_execution_id)
            .where(check.operation_id == operation_id)
            .subquery("ranked")
        )
        answers = [column for column in ranked.c if column.name not in ("age", "detection_execution_id", *_OF_CHECK)]
        query = (
            sa.select(detection_executions, *answers)
            .outerjoin(ranked, sa.and_(ranked.c.detection_execution_id == check.id, ranked.c.age == 1))
            .where(check.operation_id == operation_id)
            .order_by(check.created_at, check.id)
        )
        return (await self._connection.execute(query)).mappings().all()


_LEFT_OUT = ("raw_response",)
_OF_CHECK = ("id", "task_id", "outcome", "look", "created_at")
"""Columns that the check's row has too: the check's own are the current ones."""
