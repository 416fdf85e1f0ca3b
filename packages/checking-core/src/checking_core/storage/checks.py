"""Checks (detection executions) in the store: the table is the outbox of the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.contracts import CheckStatus, Outcome
from checking_core.storage.batch import Insert, Update, insert_rows, one_of, update_rows
from checking_core.storage.filters import ANY_CHECK, CheckFilter, CheckOrder, checks_where
from checking_core.storage.listing import FIRST_PAGE, Listed, Page, Paging
from checking_core.storage.notices import NOTED_COLUMNS, Notes
from checking_core.storage.shares import fair_shares
from checking_core.storage.tables import detection_executions, execution_results

__all__ = ["Checks", "Progress"]

_CLAIM_LOCK = 0x63686B
_c = detection_executions.c

# Literals, for a bound value would not let a database prove that its partial index serves the query.
_PENDING = _c.status == sa.literal_column("'pending'")
_DISPATCHED = _c.status == sa.literal_column("'dispatched'")

_PLANNED = (
    "detection_type",
    "detection_config",
    "expect",
    "status",
    "outcome",
    "available_at",
    "deadline",
    "max_retries",
    "completed_at",
    "execution_metadata",
    "created_at",
)
"""What a plan decides: these columns change when a check that was not run is opened."""


_LISTED = Listed(detection_executions, sa.select(detection_executions))
_ONE = sa.select(detection_executions).where(_c.id == sa.bindparam("key"))
_NOTED = tuple(_c[name] for name in NOTED_COLUMNS)


def _waiting() -> sa.CTE:
    """The backends with pending checks, each found by one index probe, and a NULL that ends them."""
    first = sa.select(sa.func.min(_c.detection_platform).label("backend")).where(_PENDING)
    found = first.cte("waiting", recursive=True)
    following = sa.select(sa.func.min(_c.detection_platform)).where(_PENDING, _c.detection_platform > found.c.backend)
    return found.union_all(sa.select(following.scalar_subquery()).where(found.c.backend.is_not(None)))


_WAITING = _waiting()


def _or_open(statement: Insert) -> sa.Executable:
    new = statement.excluded
    opened = sa.and_(_c.outcome == Outcome.NOT_RUN, new.outcome != Outcome.NOT_RUN)
    both_open = sa.and_(_c.outcome == Outcome.PENDING, new.outcome == Outcome.PENDING)
    return statement.on_conflict_do_update(
        index_elements=[_c.id],
        set_={name: sa.case((opened, new[name]), else_=_c[name]) for name in _PLANNED} | {"deadline": new.deadline},
        where=sa.or_(opened, sa.and_(both_open, _c.deadline != new.deadline)),
    ).returning(*_NOTED)


def _settled(statement: Update) -> sa.Executable:
    return statement.values(lease_until=None)


def _released_if_out(statement: Update) -> sa.Executable:
    return statement.where(_DISPATCHED).values(status=CheckStatus.PENDING, lease_until=None)


def _if_out(statement: Update) -> sa.Executable:
    return statement.where(_DISPATCHED)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Checks that are closed, that are due or with a worker, and that wait for a later look; when the next one is."""

    closed: int
    busy: int
    waiting: int
    next_look: datetime | None


class Checks:
    """Asks and answers about checks, inside somebody's transaction."""

    def __init__(self, connection: AsyncConnection, now: datetime, notes: Notes) -> None:
        self._connection = connection
        self._now = now
        self._notes = notes
        self._held: dict[UUID, Mapping[Any, Any]] = {}

    # --- accept --------------------------------------------------------------------------------------------

    async def plan_batch(self, rows: Sequence[Mapping[str, Any]]) -> set[UUID]:
        """Store planned checks; one that is there already stays, unless it was closed because nothing had run.

        The deadline of an open check moves: its execution may turn out to have ended later.

        Returns:
            Ids of the checks that were written.
        """
        planned: dict[UUID, Mapping[str, Any]] = {}
        for row in rows:
            if planned.setdefault(row["id"], row)["outcome"] == Outcome.NOT_RUN:
                planned[row["id"]] = row
        if not planned:
            return set()
        ordered = [row for _, row in sorted(planned.items())]
        written = (await insert_rows(self._connection, detection_executions, ordered, _or_open)).mappings().all()
        for noted in written:
            self._notes.check(noted)
        return {noted["id"] for noted in written}

    # --- dispatch ------------------------------------------------------------------------------------------

    async def claim_due(self, *, limit: int, max_in_flight: Callable[[str], int]) -> Sequence[sa.RowMapping]:
        """Mark due checks dispatched, each with a lease, oldest first; never the same check for two claimers.

        Args:
            limit: at most so many rows, fairly over the backends.
            max_in_flight: how many checks of a backend may be outstanding at a time.
        """
        await self._one_claimer()
        flying = await self._in_flight()
        demands = {
            backend: min(due, max_in_flight(backend) - flying.get(backend, 0))
            for backend, due, _ in await self._backends_waiting(limit)
        }
        claimed: list[sa.RowMapping] = []
        for backend, share in fair_shares(limit, demands).items():
            if share:
                claimed += await self._oldest(backend, share)
        await self._lend(claimed)
        return sorted(claimed, key=itemgetter("available_at"))

    async def _oldest(self, backend: str, count: int) -> Sequence[sa.RowMapping]:
        query = (
            sa.select(detection_executions)
            .where(_PENDING, _c.detection_platform == backend, _c.available_at <= self._now)
            .order_by(_c.available_at)
            .limit(count)
            .with_for_update(skip_locked=True)
        )
        return (await self._connection.execute(query)).mappings().all()

    async def _lend(self, checks: Sequence[sa.RowMapping]) -> None:
        by_lease: dict[float, list[UUID]] = {}
        for check in checks:
            by_lease.setdefault(check["execution_metadata"]["lease"], []).append(check["id"])
            self._notes.check({**check, "status": CheckStatus.DISPATCHED})
        for lease, ids in by_lease.items():
            await self._connection.execute(
                sa.update(detection_executions)
                .where(one_of(self._connection, _c.id, ids))
                .values(
                    status=CheckStatus.DISPATCHED,
                    lease_until=self._now + timedelta(seconds=lease),
                    dispatches=_c.dispatches + 1,
                    started_at=sa.func.coalesce(_c.started_at, self._now),
                )
            )

    async def _one_claimer(self) -> None:
        """One dispatcher claims at a time, so that the limit per backend holds over all of them."""
        if self._connection.dialect.name == "postgresql":
            await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CLAIM_LOCK)))

    async def _in_flight(self) -> dict[str, int]:
        query = sa.select(_c.detection_platform, sa.func.count()).where(_DISPATCHED).group_by(_c.detection_platform)
        return dict((await self._connection.execute(query)).tuples().all())

    async def _backends_waiting(self, limit: int) -> Sequence[tuple[str, int, datetime]]:
        """Backends with pending checks: how many are due, counted up to the limit, and since or from when.

        The one that waits longest comes first. Each costs a few index probes however many checks wait.
        """
        of_backend = sa.and_(_PENDING, _c.detection_platform == _WAITING.c.backend)
        oldest = sa.select(sa.func.min(_c.available_at)).where(of_backend).scalar_subquery().label("oldest")
        due = sa.select(sa.literal(1)).where(of_backend, _c.available_at <= self._now).limit(limit)
        count = sa.select(sa.func.count()).select_from(due.correlate(_WAITING).subquery()).scalar_subquery()
        query = sa.select(_WAITING.c.backend, count, oldest).where(_WAITING.c.backend.is_not(None)).order_by(oldest)
        return (await self._connection.execute(query)).tuples().all()

    async def release_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Give dispatched checks back: each row ``id``, ``available_at``, ``execution_metadata``.

        For checks whose task did not leave. One that has been answered in the meantime stays answered.
        """
        if rows:
            await self._hold([row["id"] for row in rows])
            await update_rows(self._connection, detection_executions, rows, _released_if_out)
            for row in rows:
                if (held := self._held.get(row["id"])) and held["status"] is CheckStatus.DISPATCHED:
                    self._notes.check({**held, "status": CheckStatus.PENDING})

    async def release_all(self) -> int:
        """Give back every dispatched check: what an embedded transport had in flight is gone after a restart."""
        result = await self._connection.execute(
            sa.update(detection_executions)
            .where(_DISPATCHED)
            .values(status=CheckStatus.PENDING, lease_until=None, available_at=self._now)
        )
        return result.rowcount

    async def next_due(self, *, after: datetime) -> datetime | None:
        """When the next pending check becomes due of those that were not due at a moment."""
        later = sa.and_(_PENDING, _c.detection_platform == _WAITING.c.backend, _c.available_at > after)
        next_one = sa.select(sa.func.min(_c.available_at)).where(later).scalar_subquery()
        query = sa.select(next_one).where(_WAITING.c.backend.is_not(None))
        found = (await self._connection.execute(query)).scalars()
        return min((due for due in found if due is not None), default=None)

    # --- gather, expire ------------------------------------------------------------------------------------

    async def lock(self, ids: Sequence[UUID]) -> dict[UUID, sa.RowMapping]:
        """The checks with these ids, held until the transaction ends; always locked in the same order.

        With each come its execution's ``execution_started_at``, ``execution_finished_at`` and ``run_state``.
        """
        execution = execution_results.c
        query = (
            sa.select(
                detection_executions,
                execution.started_at.label("execution_started_at"),
                execution.finished_at.label("execution_finished_at"),
                execution.run_state,
            )
            .join(execution_results, execution.id == _c.execution_result_id)
            .where(one_of(self._connection, _c.id, ids))
            .order_by(_c.id)
            .with_for_update(of=detection_executions)
        )
        found = {row["id"]: row for row in (await self._connection.execute(query)).mappings()}
        self._held.update(found)
        return found

    async def settle_batch(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write what gather or expire decided about checks that the transaction has locked.

        Each row: ``id`` and the columns that change, the same ones in every row.
        """
        if rows:
            await update_rows(self._connection, detection_executions, rows, _settled)
            for row in rows:
                self._notes.check({**self._held[row["id"]], **row})

    async def next_lease(self) -> datetime | None:
        """When the first lease of all runs out or ran out."""
        found: datetime | None = await self._connection.scalar(
            sa.select(sa.func.min(_c.lease_until)).where(_DISPATCHED)
        )
        return found

    async def in_flight(self) -> Sequence[sa.RowMapping]:
        """Every dispatched check, in the order in which those of one backend were sent.

        Of each ``id``, ``detection_type``, ``detection_platform`` and its execution's ``agent_host``, which tell its
        queue; ``available_at``, ``lease_until``, ``deadline``, ``created_at``.
        """
        columns = (_c.id, _c.detection_type, _c.detection_platform, _c.available_at)
        times = (_c.lease_until, _c.deadline, _c.created_at)
        query = (
            sa.select(*columns, execution_results.c.agent_host, *times)
            .join(execution_results, execution_results.c.id == _c.execution_result_id)
            .where(_DISPATCHED)
            .order_by(_c.available_at)
        )
        return (await self._connection.execute(query)).mappings().all()

    async def extend_leases(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Let dispatched checks that the transaction has locked keep their tasks for longer.

        Each row: ``id``, ``lease_until``, ``execution_metadata``.
        """
        if rows:
            await update_rows(self._connection, detection_executions, rows, _if_out)

    async def _hold(self, ids: Sequence[UUID]) -> None:
        """Lock checks in the order in which everybody locks them."""
        query = sa.select(*_NOTED).where(one_of(self._connection, _c.id, ids)).order_by(_c.id).with_for_update()
        self._held.update((row["id"], row) for row in (await self._connection.execute(query)).mappings())

    # --- report --------------------------------------------------------------------------------------------

    async def get(self, key: UUID) -> sa.RowMapping | None:
        """One check."""
        return (await self._connection.execute(_ONE, {"key": key})).mappings().one_or_none()

    async def list(
        self,
        paging: Paging = FIRST_PAGE,
        wanted: CheckFilter = ANY_CHECK,
        order: CheckOrder = CheckOrder.NEWEST,
    ) -> Page:
        """A page of checks. Raises ``RejectedMessageError`` for a wrong cursor."""
        return await _LISTED.page(self._connection, checks_where(wanted), sort=order, paging=paging)

    async def ids(self, wanted: CheckFilter) -> Sequence[UUID]:
        """Ids of all checks that a filter selects."""
        query = sa.select(_c.id).where(*checks_where(wanted)).order_by(_c.id)
        return (await self._connection.scalars(query)).all()

    async def correct(self, key: UUID, **columns: Any) -> None:
        """Write what a person corrects of a check that is locked."""
        await self._connection.execute(sa.update(detection_executions).where(_c.id == key).values(**columns))

    async def delete(self, key: UUID) -> None:
        """Forget a check and its results. What it claims has to be forgotten before; see ``flow.remove``."""
        await self._connection.execute(sa.delete(detection_executions).where(_c.id == key))

    async def between(self, first: UUID, last: UUID, *, limit: int) -> Sequence[sa.RowMapping]:
        """Checks with ids from the first to the last: how a check is found by the beginning of its id."""
        query = sa.select(detection_executions).where(_c.id >= first, _c.id <= last).order_by(_c.id).limit(limit)
        return (await self._connection.execute(query)).mappings().all()

    async def of_execution(self, execution_id: UUID) -> Sequence[sa.RowMapping]:
        """The checks of an execution."""
        query = sa.select(detection_executions).where(_c.execution_result_id == execution_id).order_by(_c.id)
        return (await self._connection.execute(query)).mappings().all()

    async def progress(self, operation_ids: Sequence[UUID]) -> Progress:
        """How far the checks of these operations are."""
        dispatched = _c.status.in_((CheckStatus.DISPATCHED, CheckStatus.RUNNING))
        pending = _c.status == CheckStatus.PENDING
        query = sa.select(
            sa.func.count(),
            sa.func.count().filter(sa.or_(dispatched, sa.and_(pending, _c.available_at <= self._now))),
            sa.func.count().filter(pending, _c.available_at > self._now),
            sa.func.min(_c.available_at).filter(pending, _c.available_at > self._now),
        ).where(_c.operation_id.in_(operation_ids))
        total, busy, waiting, next_look = (await self._connection.execute(query)).one()
        return Progress(closed=total - busy - waiting, busy=busy, waiting=waiting, next_look=next_look)
