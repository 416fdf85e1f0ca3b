"""Which records checks rest on. Everything here concerns one backend: a record of one is never a record of another."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.matching.attribution import Claim
from checking_core.storage.batch import Insert, insert_rows, one_of
from checking_core.storage.results import newest_of
from checking_core.storage.tables import (
    detection_executions,
    detection_results,
    evidence_claims,
    execution_results,
)

__all__ = ["Claims"]

_LOCK = 0x636C << 32
_c = evidence_claims.c


class Claims:
    """Asks and answers about claims, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def records_of(self, check_ids: Collection[UUID]) -> Sequence[tuple[str, str]]:
        """The records that these checks rest on, each as backend and record id."""
        query = sa.select(_c.backend, _c.record_id).where(one_of(self._connection, _c.check_id, check_ids))
        return (await self._connection.execute(query.distinct())).tuples().all()

    async def hold(self, backends: Collection[str]) -> None:
        """Let nobody else change claims on these backends until the transaction ends.

        Two transactions that each add a claim on one record would otherwise both find it unclaimed. To be called once,
        and before anything is read that is decided upon.
        """
        if self._connection.dialect.name == "postgresql":
            for key in sorted({_LOCK | zlib.crc32(backend.encode()) for backend in backends}):
                lock = sa.func.pg_advisory_xact_lock(sa.literal(key, sa.BigInteger))
                await self._connection.execute(sa.select(lock))

    async def replace(self, check_ids: Collection[UUID], rows: Sequence[Mapping[str, Any]]) -> None:
        """Forget the claims of checks, and note others: each row has the columns of a claim."""
        if check_ids:
            own = one_of(self._connection, _c.check_id, check_ids)
            await self._connection.execute(sa.delete(evidence_claims).where(own))
        if rows:
            ordered = sorted(rows, key=itemgetter("backend", "record_id", "check_id"))
            await insert_rows(self._connection, evidence_claims, ordered, Insert.on_conflict_do_nothing)

    async def around(self, backend: str, record_ids: Collection[str]) -> Sequence[Claim]:
        """All that decides to whom these records belong, and what else the checks that claim them rest on.

        Every claim on these records, every other claim of the same checks, and every claim on those records.
        """
        near, far = evidence_claims.alias("near"), evidence_claims.alias("far")
        rivals = sa.select(near.c.check_id).where(
            near.c.backend == backend, one_of(self._connection, near.c.record_id, record_ids)
        )
        theirs = sa.select(far.c.record_id).where(far.c.check_id.in_(rivals))
        query = (
            sa.select(
                *(_c[name] for name in ("backend", "record_id", "check_id", "tier", "shared", "decisive")),
                detection_executions.c.execution_result_id.label("execution_id"),
                execution_results.c.procedure_fingerprint.label("procedure"),
            )
            .join(detection_executions, detection_executions.c.id == _c.check_id)
            .join(execution_results, execution_results.c.id == detection_executions.c.execution_result_id)
            .where(_c.backend == backend, _c.record_id.in_(theirs))
        )
        found = (await self._connection.execute(query)).mappings()
        return [Claim(**row) for row in found]

    async def mark(self, check_ids: Collection[UUID], *, ambiguous: bool) -> None:
        """Say of the current results of checks whether others claim all that they rest on."""
        if not check_ids:
            return
        result = detection_results.c
        await self._connection.execute(
            sa.update(detection_results)
            .where(
                one_of(self._connection, result.detection_execution_id, check_ids),
                result.id == newest_of(result.detection_execution_id),
                result.ambiguous.is_not(ambiguous),
            )
            .values(ambiguous=ambiguous)
        )
