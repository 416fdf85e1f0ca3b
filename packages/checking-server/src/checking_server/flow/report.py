"""Station 5: stored rows into what a person reads. Reads only, one snapshot each."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from uuid import UUID

from checking_core.contracts.text import clean
from checking_core.errors import NotFoundError
from checking_core.report import Counts, OperationLine, OperationReport, OperationsReport, Summary
from checking_core.report.escape import shortened, visible
from checking_core.storage import Paging, Store, UnitOfWork
from checking_server.flow.reported import reported_lines, reported_operation
from checking_server.flow.rows import Row

__all__ = ["LATEST", "find_operation", "overview", "report"]

LATEST = "latest"
"""Names the operation that was stored last."""

_NAMES_SEARCHED = 1000


async def report(store: Store, operation_key: str) -> OperationReport:
    """What the defenders saw of an operation.

    Args:
        store: where its rows are.
        operation_key: row id, operation id, exact name or source id, or ``latest``; of several of one name the newest.

    Raises:
        NotFoundError: there is none; names the nearest.
        StoreUnavailableError: the database does not answer.
    """
    async with store.read() as uow:
        operation, remark = await find_operation(uow, operation_key)
        executions = await uow.executions.of_operation(operation["operation_id"])
        checks = await uow.results.current_of_operation(operation["operation_id"])
        now = uow.now
    lines = reported_lines(executions, checks, now)
    return OperationReport(
        generated_at=now,
        operation=reported_operation(operation),
        remark=remark,
        summary=Summary.of_lines(lines),
        lines=lines,
    )


async def overview(store: Store, *, size: int = 50) -> OperationsReport:
    """The newest operations with their counts, at most ``size``. Raises ``StoreUnavailableError``."""
    async with store.read() as uow:
        page = await uow.operations.list(Paging(size=size))
        operations = page.items
        ids = [row["operation_id"] for row in operations]
        executions = await uow.statistics.executions(ids)
        outcomes = await uow.statistics.outcomes(ids)
        now = uow.now
    lines = tuple(
        OperationLine(
            operation=reported_operation(row), counts=Counts.of(executions.get(key, 0), outcomes.get(key, {}))
        )
        for key, row in zip(ids, operations, strict=True)
    )
    return OperationsReport(
        generated_at=now, total=page.total, total_is_minimum=page.total_is_minimum, operations=lines
    )


async def find_operation(uow: UnitOfWork, key: str) -> tuple[Row, str]:
    """The operation that a person means, and a remark if there was a choice.

    Raises:
        NotFoundError: as ``report``.
    """
    key = clean(key)
    if (row := await _by_id(uow, key)) is not None:
        return row, ""
    if key == LATEST:
        page = await uow.operations.list(Paging(size=1))
        if newest := page.items:
            return newest[0], ""
    named = await uow.operations.named(key)
    if named:
        return named[0], _remark(named)
    raise NotFoundError(await _not_found(uow, key))


async def _by_id(uow: UnitOfWork, key: str) -> Row | None:
    try:
        return await uow.operations.get(UUID(key))
    except ValueError:
        return None


def _remark(named: Sequence[Row]) -> str:
    """Names all of them by their ids, so that the others can be asked for."""
    if len(named) == 1:
        return ""
    others = ", ".join(str(row["operation_id"]) for row in named[1:4])
    more = f" and {len(named) - 4} more" if len(named) > 4 else ""
    return f"{len(named)} operations have this name; this is the newest. The others: {others}{more}."


async def _not_found(uow: UnitOfWork, key: str) -> str:
    known = [row["name"] for row in (await uow.operations.list(Paging(size=_NAMES_SEARCHED))).items]
    if not known:
        return "no operation is stored yet: checking ingest FILE"
    near = [
        repr(visible(shortened(name, 80))) for name in get_close_matches(key, dict.fromkeys(known), n=3, cutoff=0.5)
    ]
    hint = f"did you mean {' or '.join(near)}?" if near else "checking report lists them"
    return f"no operation has the id or name {visible(shortened(key, 80))!r}; {hint}"
