"""Detection results in the store: append-only, the newest of a check is the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.storage.batch import Insert, insert_rows
from checking_core.storage.tables import detection_executions, detection_results, evidence_claims

__all__ = ["Results"]


class Results:
    """Asks and answers about results, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def add_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append results, each created now unless it says when; one whose id is there already stays as it is."""
        if rows:
            dated = [{"created_at": self._now, **row} for row in sorted(rows, key=lambda row: row["id"])]
            await insert_rows(self._connection, detection_results, dated, Insert.on_conflict_do_nothing)

    async def claim_records(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Note which records checks rest on: ``backend``, ``record_id``, ``check_id``, ``tier``."""
        if rows:
            ordered = sorted(rows, key=itemgetter("backend", "record_id", "check_id"))
            await insert_rows(self._connection, evidence_claims, ordered, Insert.on_conflict_do_nothing)

    async def current_of_operation(self, operation_id: UUID) -> Sequence[sa.RowMapping]:
        """Every check of an operation with its current result, if it has one; ``raw_response`` left out."""
        check, result = detection_executions.c, detection_results.c
        any_of_check = detection_results.alias("any_of_check").c
        newest = (
            sa.select(any_of_check.id)
            .where(any_of_check.detection_execution_id == check.id)
            .order_by(any_of_check.created_at.desc(), any_of_check.id.desc())
            .limit(1)
            .scalar_subquery()
        )
        query = (
            sa.select(detection_executions, *(column for column in result if column.name not in _LEFT_OUT))
            .outerjoin_from(detection_executions, detection_results, result.id == newest)
            .where(check.operation_id == operation_id)
            .order_by(check.created_at, check.id)
        )
        return (await self._connection.execute(query)).mappings().all()


_LEFT_OUT = ("raw_response", "detection_execution_id", "id", "task_id", "outcome", "look", "created_at")
"""What is bulky, and columns that the check's row has too: the check's own are the current ones."""
