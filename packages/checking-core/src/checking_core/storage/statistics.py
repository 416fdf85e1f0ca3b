"""Counts over stored rows, made by the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.contracts import Outcome
from checking_core.storage.tables import detection_executions, execution_results

__all__ = ["Statistics"]


class Statistics:
    """Counts things, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def executions(self, operation_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many executions each of these operations has; an operation without any is left out."""
        operation_id = execution_results.c.operation_id
        query = sa.select(operation_id, sa.func.count()).where(operation_id.in_(operation_ids)).group_by(operation_id)
        return dict((await self._connection.execute(query)).tuples().all())

    async def outcomes(self, operation_ids: Sequence[UUID]) -> dict[UUID, dict[Outcome, int]]:
        """How many checks of each of these operations have which outcome; ``pending`` is an open check."""
        check = detection_executions.c
        query = (
            sa.select(check.operation_id, check.outcome, sa.func.count())
            .where(check.operation_id.in_(operation_ids))
            .group_by(check.operation_id, check.outcome)
        )
        found: dict[UUID, dict[Outcome, int]] = defaultdict(dict)
        for operation_id, outcome, count in (await self._connection.execute(query)).tuples():
            found[operation_id][outcome] = count
        return found
