"""Checks (detection executions) in the store: the table is the outbox of the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.contracts import CheckStatus, Outcome
from checking_core.storage.tables import detection_executions
from checking_core.storage.upsert import insert

__all__ = ["OPEN", "Checks"]

OPEN = (CheckStatus.PENDING, CheckStatus.DISPATCHED, CheckStatus.RUNNING)
"""The states of a check that still waits for its verdict."""

_CLAIM_LOCK = 0x63686B
_c = detection_executions.c


class Checks:
    """Asks and answers about checks, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    # --- accept --------------------------------------------------------------------------------------------

    async def plan_batch(self, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
        """Store planned checks; one that is there already stays, unless it was closed because nothing had run.

        Returns:
            Ids of the checks that were written.
        """
        if not rows:
            return set()
        statement = insert(self._connection, detection_executions)
        reopened = ("status", "outcome", "available_at", "deadline", "completed_at", "execution_metadata")
        result = await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_c.id],
                set_={name: statement.excluded[name] for name in reopened},
                where=sa.and_(_c.outcome == Outcome.NOT_RUN, statement.excluded.outcome != Outcome.NOT_RUN),
            ).returning(_c.id),
            sorted(rows, key=lambda row: row["id"]),
        )
        return set(result.scalars())

    # --- dispatch ------------------------------------------------------------------------------------------

    async def claim_due(self, *, limit: int, max_in_flight: Callable[[str], int]) -> Sequence[sa.RowMapping]:
        """Mark due checks dispatched, each with a lease, oldest first; never the same check for two claimers.

        Args:
            limit: at most so many rows, fairly over the backends.
            max_in_flight: how many checks of a backend may be outstanding at a time.
        """
        await self._one_claimer()
        flying = await self._in_flight()
        claimed: list[sa.RowMapping] = []
        waiting = await self._backends_waiting()
        for position, backend in enumerate(waiting):
            share = -(-(limit - len(claimed)) // (len(waiting) - position))
            capacity = min(share, max_in_flight(backend) - flying.get(backend, 0))
            if capacity > 0:
                claimed += await self._claim(backend, capacity)
        return claimed

    async def _claim(self, backend: str, capacity: int) -> Sequence[sa.RowMapping]:
        due = (
            sa.select(detection_executions)
            .where(_c.status == CheckStatus.PENDING, _c.detection_platform == backend, _c.available_at <= self._now)
            .order_by(_c.available_at)
            .limit(capacity)
            .with_for_update(skip_locked=True)
        )
        rows = (await self._connection.execute(due)).mappings().all()
        if rows:
            lease = max(row["execution_metadata"]["lease"] for row in rows)
            await self._connection.execute(
                sa.update(detection_executions)
                .where(_c.id.in_([row["id"] for row in rows]))
                .values(
                    status=CheckStatus.DISPATCHED,
                    lease_until=self._now + timedelta(seconds=lease),
                    dispatches=_c.dispatches + 1,
                    started_at=sa.func.coalesce(_c.started_at, self._now),
                )
            )
        return rows

    async def _one_claimer(self) -> None:
        """One dispatcher claims at a time, so that the limit per backend holds over all of them."""
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CLAIM_LOCK)))

    async def _in_flight(self) -> dict[str, int]:
        query = (
            sa.select(_c.detection_platform, sa.func.count())
            .where(_c.status == CheckStatus.DISPATCHED)
            .group_by(_c.detection_platform)
        )
        return dict((await self._connection.execute(query)).tuples().all())

    async def _backends_waiting(self) -> list[str]:
        """Backends with pending checks, one index probe each however many checks wait."""
        pending = _c.status == CheckStatus.PENDING
        found = (
            sa.select(sa.func.min(_c.detection_platform).label("backend")).where(pending).cte("found", recursive=True)
        )
        following = sa.select(sa.func.min(_c.detection_platform)).where(
            pending, _c.detection_platform > found.c.backend
        )
        found = found.union_all(sa.select(following.scalar_subquery()).where(found.c.backend.is_not(None)))
        query = sa.select(found.c.backend).where(found.c.backend.is_not(None))
        return list((await self._connection.execute(query)).scalars())

    async def release_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Give dispatched checks back: each row ``id``, ``available_at``, ``execution_metadata``.

        For checks whose task did not leave. One that has been answered in the meantime stays answered.
        """
        await self._update_each(rows, {"status": CheckStatus.PENDING, "lease_until": None})

    async def release_all(self) -> int:
        """Give back every dispatched check: what an embedded transport had in flight is gone after a restart."""
        result = await self._connection.execute(
            sa.update(detection_executions)
            .where(_c.status == CheckStatus.DISPATCHED)
            .values(status=CheckStatus.PENDING, lease_until=None, available_at=self._now)
        )
        return result.rowcount

    async def next_due(self) -> datetime | None:
        """When the next pending check becomes due; in the past if one waits for capacity only."""
        found: datetime | None = None
        for backend in await self._backends_waiting():
            query = sa.select(sa.func.min(_c.available_at)).where(
                _c.status == CheckStatus.PENDING, _c.detection_platform == backend
            )
            due = (await self._connection.execute(query)).scalar_one()
            found = min(found, due) if found and due else found or due
        return found

    # --- gather, expire ------------------------------------------------------------------------------------

    async def lock(self, ids: Sequence[UUID]) -> dict[UUID, sa.RowMapping]:
        """The checks with these ids, held until the transaction ends; always locked in the same order."""
        query = sa.select(detection_executions).where(_c.id.in_(ids)).order_by(_c.id).with_for_update()
        return {row["id"]: row for row in (await self._connection.execute(query)).mappings()}

    async def settle_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write what gather or expire decided about checks that the transaction has locked.

        Each row: ``id`` and the columns that change, the same ones in every row.
        """
        await self._update_each(rows, {"lease_until": None}, any_status=True)

    async def leases_run_out(self, limit: int) -> Sequence[sa.RowMapping]:
        """Dispatched checks whose lease is over, locked; those another process holds are left out."""
        query = (
            sa.select(detection_executions)
            .where(_c.status == CheckStatus.DISPATCHED, _c.lease_until < self._now)
            .order_by(_c.lease_until)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._connection.execute(query)).mappings().all()

    async def _update_each(
        self, rows: Sequence[Mapping[str, Any]], same: Mapping[str, Any], *, any_status: bool = False
    ) -> None:
        if not rows:
            return
        changed = {name: sa.bindparam(f"new_{name}", type_=_c[name].type) for name in rows[0] if name != "id"}
        statement = sa.update(detection_executions).where(_c.id == sa.bindparam("row_id"))
        if not any_status:
            statement = statement.where(_c.status == CheckStatus.DISPATCHED)
        await self._connection.execute(
            statement.values({**changed, **same}),
            [
                {"row_id": row["id"], **{f"new_{name}": row[name] for name in changed}}
                for row in sorted(rows, key=lambda row: row["id"])
            ],
        )

    # --- report --------------------------------------------------------------------------------------------

    async def open_count(self, operation_ids: Sequence[UUID] | None = None) -> int:
        """How many checks still wait for their verdict, of these operations or of all."""
        query = sa.select(sa.func.count()).select_from(detection_executions).where(_c.status.in_(OPEN))
        if operation_ids is not None:
            query = query.where(_c.operation_id.in_(operation_ids))
        count: int = (await self._connection.execute(query)).scalar_one()
        return count
