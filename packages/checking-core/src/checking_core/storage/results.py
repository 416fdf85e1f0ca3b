"""Detection results in the store: append-only, the newest of a check is the current one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.storage.batch import Insert, insert_rows, one_of
from checking_core.storage.filters import ANY_RESULT, ResultFilter, ResultOrder, results_where
from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.notices import Notes
from checking_core.storage.tables import detection_executions, detection_results

__all__ = ["Results", "newest_of"]


class Results:
    """Asks and answers about results, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime, notes: Notes) -> None:
        self._connection = connection
        self._now = now
        self._notes = notes

    async def add_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append results, each created now unless it says when; one whose id is there already stays as it is."""
        if rows:
            dated = [{"created_at": self._now, **row} for row in sorted(rows, key=lambda row: row["id"])]
            await insert_rows(self._connection, detection_results, dated, Insert.on_conflict_do_nothing)
            for row in rows:
                self._notes.verdict(row["detection_execution_id"], row["reason"])

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One result, with what the backend answered."""
        return (await self._connection.execute(_ONE, {"key": key})).mappings().one_or_none()

    async def correct(self, key: UUID, **columns: Any) -> None:
        """Write what a person corrects beside a verdict."""
        where = detection_results.c.id == key
        await self._connection.execute(sa.update(detection_results).where(where).values(**columns))

    async def delete(self, key: UUID) -> None:
        """Forget a result."""
        await self._connection.execute(sa.delete(detection_results).where(detection_results.c.id == key))

    async def list(
        self,
        paging: Paging = FIRST_PAGE,
        wanted: ResultFilter = ANY_RESULT,
        order: ResultOrder = ResultOrder.NEWEST,
    ) -> Page:
        """A page of results, ``raw_response`` left out. Raises ``RejectedMessageError`` for a wrong cursor."""
        return await _LISTED.page(self._connection, results_where(wanted), sort=order, paging=paging)

    async def current_of_operation(self, operation_id: UUID) -> Sequence[sa.RowMapping]:
        """Every check of an operation with its current result, if it has one; ``raw_response`` left out."""
        check, result = detection_executions.c, detection_results.c
        query = (
            sa.select(detection_executions, *(column for column in result if column.name not in _LEFT_OUT))
            .outerjoin_from(detection_executions, detection_results, result.id == newest_of(check.id))
            .where(check.operation_id == operation_id)
            .order_by(check.created_at, check.id)
        )
        return (await self._connection.execute(query)).mappings().all()

    async def current(self, check_ids: Sequence[UUID]) -> Sequence[sa.RowMapping]:
        """The current results of checks, each if it has one; ``raw_response`` left out."""
        result = detection_results.c
        query = sa.select(*_SLIM).where(
            one_of(self._connection, result.detection_execution_id, check_ids),
            result.id == newest_of(result.detection_execution_id),
        )
        return (await self._connection.execute(query)).mappings().all()

    async def of_check(self, check_id: UUID) -> Sequence[sa.RowMapping]:
        """Every result of a check, the current one first; ``raw_response`` left out."""
        result = detection_results.c
        query = (
            sa.select(*_SLIM)
            .where(result.detection_execution_id == check_id)
            .order_by(result.created_at.desc(), result.id.desc())
        )
        return (await self._connection.execute(query)).mappings().all()


def newest_of(check_id: sa.ColumnElement[UUID]) -> sa.ScalarSelect[UUID]:
    """Id of the current result of a check."""
    any_of_check = detection_results.alias("any_of_check").c
    return (
        sa.select(any_of_check.id)
        .where(any_of_check.detection_execution_id == check_id)
        .order_by(any_of_check.created_at.desc(), any_of_check.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def _with_check(*told: Any) -> sa.Select[Any]:
    """Results, and of which operation, execution, expectation and backend they are."""
    check = detection_executions.c
    about = (check.operation_id, check.execution_result_id, check.expectation_id)
    return sa.select(*told, *about, check.detection_type, check.detection_platform).join(
        detection_executions, check.id == detection_results.c.detection_execution_id
    )


_SLIM = tuple(column for column in detection_results.c if column.name != "raw_response")
_LISTED = Listed(detection_results, _with_check(*_SLIM))
_ONE = _with_check(detection_results).where(detection_results.c.id == sa.bindparam("key"))
_LEFT_OUT = ("raw_response", "detection_execution_id", "id", "task_id", "outcome", "look", "created_at")
"""What is bulky, and columns that the check's row has too: the check's own are the current ones."""
