"""Counts: checks, verdicts and techniques, of everything or of what the filters select."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide

from checking_core.contracts import Met, Outcome, Reason
from checking_core.report import Counts
from checking_core.storage import Paging, Store, UnitOfWork
from checking_core.storage.filters import CheckFilter, Detected, ResultFilter
from checking_core.storage.statistics import CheckCount, ResultCount, TechniqueCount
from checking_server.api.filters import check_filter
from checking_server.api.listing import Listing, listing
from checking_server.api.problems import problems
from checking_server.kept import Kept

__all__ = ["ResultSummary", "router", "summary_of"]

T = TypeVar("T")


class CheckStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Checks by backend, status and outcome, most first, as they stood at ``as_of``."""

    as_of: datetime
    total: int
    items: list[CheckCount]


class TechniqueStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Checks of one ATT&CK technique; ``None`` stands for executions that name none."""

    technique_id: str | None
    checks: int
    by_outcome: dict[Outcome, int]


class TechniquesStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Every technique that was checked, in the order of their ids, as they stood at ``as_of``."""

    as_of: datetime
    items: list[TechniqueStatistics]


class OperationStatistics(msgspec.Struct, frozen=True):
    """One operation and its counts."""

    operation_id: UUID
    name: str
    counts: Counts


class OperationsStatistics(Listing, frozen=True, kw_only=True):
    """A page of operations with their counts."""

    items: list[OperationStatistics]


class ResultSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts counted, those that another one has replaced as well, as they stood at ``as_of``.

    ``detected`` is ``true``, ``false`` (a proven no) or ``unknown``.
    """

    as_of: datetime
    total: int
    by_detected: dict[Detected, int]
    by_outcome: dict[Outcome, int]
    by_met: dict[Met, int]
    by_reason: dict[Reason, int]


@get("/checks", responses=problems())
async def check_statistics(
    store: NamedDependency[Store], kept: NamedDependency[Kept], wanted: NamedDependency[CheckFilter]
) -> CheckStatistics:
    """Checks by backend, status and outcome."""
    as_of, items = await counted(store, kept, ("checks", _key(wanted)), lambda uow: uow.statistics.checks(wanted))
    return CheckStatistics(as_of=as_of, total=sum(item.checks for item in items), items=items)


@get("/techniques", responses=problems())
async def technique_statistics(
    store: NamedDependency[Store], kept: NamedDependency[Kept], wanted: NamedDependency[CheckFilter]
) -> TechniquesStatistics:
    """Checks by ATT&CK technique and outcome: which ones are seen, and which are not."""
    question = ("techniques", _key(wanted))
    as_of, items = await counted(store, kept, question, lambda uow: uow.statistics.techniques(wanted))
    return TechniquesStatistics(as_of=as_of, items=_by_technique(items))


@get("/operations", responses=problems())
async def operation_statistics(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> OperationsStatistics:
    """Operations with their counts, newest first."""
    async with store.read() as uow:
        page = await uow.operations.list(paging)
        operations = page.items
        ids = [row["operation_id"] for row in operations]
        executions, outcomes = await uow.statistics.executions(ids), await uow.statistics.outcomes(ids)
    counts = [Counts.of(executions.get(key, 0), outcomes.get(key, {})) for key in ids]
    rows = [(row["operation_id"], row["name"], count) for row, count in zip(operations, counts, strict=True)]
    return listing(
        msgspec.structs.replace(page, names=OperationStatistics.__struct_fields__, rows=rows), OperationsStatistics
    )


async def summary_of(store: Store, kept: Kept, wanted: ResultFilter) -> ResultSummary:
    """Verdicts counted. Raises ``StoreUnavailableError`` while nothing is known."""
    question = ("results", _key(wanted))
    as_of, items = await counted(store, kept, question, lambda uow: uow.statistics.results(wanted))
    reasons = _sums(items, lambda item: item.reason)
    found = {None: Detected.UNKNOWN, True: Detected.YES, False: Detected.NO}
    return ResultSummary(
        as_of=as_of,
        total=sum(item.results for item in items),
        by_detected=dict.fromkeys(Detected, 0) | _sums(items, lambda item: found[item.detected]),
        by_outcome=_sums(items, lambda item: item.outcome),
        by_met=_sums(items, lambda item: item.met),
        by_reason={reason: count for reason, count in reasons.items() if reason is not None},
    )


async def counted(
    store: Store, kept: Kept, question: Hashable, count: Callable[[UnitOfWork], Awaitable[T]], **how: float
) -> tuple[datetime, T]:
    """What a question counts, and when it was counted; for ``how`` see ``Kept.get``."""

    async def ask() -> tuple[datetime, T]:
        async with store.glance() as uow:
            return uow.now, await count(uow)

    return await kept.get(question, ask, **how)


def _key(wanted: msgspec.Struct) -> bytes:
    """Equal for equal filters, whatever lists are in them."""
    return msgspec.json.encode(wanted)


def _by_technique(items: list[TechniqueCount]) -> list[TechniqueStatistics]:
    found: dict[str | None, dict[Outcome, int]] = defaultdict(dict)
    for item in items:
        found[item.technique_id][item.outcome] = item.checks
    return [
        TechniqueStatistics(technique_id=key, checks=sum(outcomes.values()), by_outcome=outcomes)
        for key, outcomes in sorted(found.items(), key=lambda one: (one[0] is None, one[0] or ""))
    ]


def _sums(items: list[ResultCount], kind: Callable[[ResultCount], T]) -> dict[T, int]:
    sums: Counter[T] = Counter()
    for item in items:
        sums[kind(item)] += item.results
    return dict(sums)


router = Router(
    "/statistics",
    route_handlers=[check_statistics, technique_statistics, operation_statistics],
    dependencies={"wanted": Provide(check_filter, sync_to_thread=False)},
    tags=["statistics"],
)
