"""Counts over stored rows, made by the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.contracts import CheckStatus, Met, Outcome, Reason
from checking_core.storage.filters import (
    ANY_CHECK,
    ANY_RESULT,
    CheckFilter,
    ResultFilter,
    checks_where,
    results_where,
)
from checking_core.storage.tables import detection_executions, detection_results, execution_results

__all__ = ["CheckCount", "ResultCount", "Statistics", "TechniqueCount"]

_check, _result, _execution = detection_executions.c, detection_results.c, execution_results.c


class CheckCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many checks of a backend stand so."""

    backend: str
    status: CheckStatus
    outcome: Outcome
    checks: int


class ResultCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many verdicts say the same for the same reason."""

    outcome: Outcome
    reason: Reason | None
    detected: bool | None
    met: Met
    results: int


class TechniqueCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many checks of a technique have which outcome; ``technique_id`` is ``None`` where none was told."""

    technique_id: str | None
    outcome: Outcome
    checks: int


class Statistics:
    """Counts things, inside somebody's transaction. What is not narrowed to an operation reads an index whole."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def executions(self, operation_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many executions each of these operations has; an operation without any is left out."""
        operation_id = _execution.operation_id
        query = sa.select(operation_id, sa.func.count()).where(operation_id.in_(operation_ids)).group_by(operation_id)
        return dict((await self._connection.execute(query)).tuples().all())

    async def outcomes(self, operation_ids: Sequence[UUID]) -> dict[UUID, dict[Outcome, int]]:
        """How many checks of each of these operations have which outcome; ``pending`` is an open check."""
        query = (
            sa.select(_check.operation_id, _check.outcome, sa.func.count())
            .where(_check.operation_id.in_(operation_ids))
            .group_by(_check.operation_id, _check.outcome)
        )
        found: dict[UUID, dict[Outcome, int]] = defaultdict(dict)
        for operation_id, outcome, count in (await self._connection.execute(query)).tuples():
            found[operation_id][outcome] = count
        return found

    async def checks(self, wanted: CheckFilter = ANY_CHECK) -> list[CheckCount]:
        """Checks by backend, status and outcome, most first."""
        kinds = (_check.detection_platform, _check.status, _check.outcome)
        rows = await self._counted(kinds, checks_where(wanted))
        return [
            CheckCount(backend=backend, status=status, outcome=outcome, checks=count)
            for (backend, status, outcome), count in rows
        ]

    async def results(self, wanted: ResultFilter = ANY_RESULT) -> list[ResultCount]:
        """Verdicts by what they say and why, most first; those that another one has replaced as well."""
        kinds = (_result.outcome, _result.reason, _result.detected, _result.met)
        rows = await self._counted(kinds, results_where(wanted))
        return [
            ResultCount(outcome=outcome, reason=reason, detected=detected, met=met, results=count)
            for (outcome, reason, detected, met), count in rows
        ]

    async def techniques(self, wanted: CheckFilter = ANY_CHECK) -> list[TechniqueCount]:
        """Checks by technique and outcome, most first."""
        kinds = (_execution.technique_id, _check.outcome)
        joined = detection_executions.join(execution_results, _execution.id == _check.execution_result_id)
        rows = await self._counted(kinds, checks_where(wanted), joined)
        return [
            TechniqueCount(technique_id=technique, outcome=outcome, checks=count)
            for (technique, outcome), count in rows
        ]

    async def _counted(
        self,
        kinds: Sequence[sa.Column[Any]],
        where: Sequence[sa.ColumnElement[bool]],
        rows: sa.FromClause | None = None,
    ) -> list[tuple[tuple[Any, ...], int]]:
        """The kinds that occur with their numbers, the greatest first, equal ones in an order that stays."""
        query = sa.select(*kinds, sa.func.count()).where(*where).group_by(*kinds)
        query = query if rows is None else query.select_from(rows)
        counts = Counter({tuple(row[:-1]): row[-1] for row in (await self._connection.execute(query)).all()})
        return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
