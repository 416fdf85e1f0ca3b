"""A person deletes what is stored. What its checks claimed is free again, and whom that made doubtful is sure."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Paging, Store, UnitOfWork
from checking_core.storage.audit import Author
from checking_core.storage.filters import CheckFilter, ExecutionFilter, ResultFilter
from checking_server.flow.attribute import attribute
from checking_server.flow.rows import Row

__all__ = ["remove_check", "remove_execution", "remove_operation", "remove_result"]

log = structlog.get_logger(__name__)

_ONE = Paging(size=1)


async def remove_operation(store: Store, key: UUID, author: Author, *, cascade: bool) -> None:
    """Delete an operation.

    Args:
        store: where it is.
        key: its id or its operation id.
        author: who wants it, for the audit log.
        cascade: with its executions, their checks and results.

    Raises:
        NotFoundError: there is no such operation.
        ConflictError: it has executions, and they were not meant.
        StoreUnavailableError: nothing was deleted.
    """
    async with store.begin() as uow:
        row = _found(await uow.operations.lock(key), "operation")
        operation_id = row["operation_id"]
        executions = (await uow.executions.list(_ONE, ExecutionFilter(operation_id=operation_id))).total
        _refuse_orphans(executions, "executions", cascade=cascade)
        await _forget(uow, await uow.checks.ids(CheckFilter(operation_id=operation_id)))
        await uow.operations.delete(operation_id)
        await _note(uow, author, "operation", row, ("operation_id", "name"))


async def remove_execution(store: Store, key: UUID, author: Author, *, cascade: bool) -> None:
    """Delete an execution, with ``cascade`` also if it has checks; see ``remove_operation``."""
    async with store.begin() as uow:
        row = _found(await uow.executions.lock(key), "execution")
        checks = await uow.checks.ids(CheckFilter(execution_id=key))
        _refuse_orphans(len(checks), "checks", cascade=cascade)
        await _forget(uow, checks)
        await uow.executions.delete(key)
        await _note(uow, author, "execution", row, ("operation_id", "link_id", "procedure_name"))


async def remove_check(store: Store, key: UUID, author: Author, *, cascade: bool) -> None:
    """Delete a check, with ``cascade`` also if it has verdicts; see ``remove_operation``."""
    async with store.begin() as uow:
        row = _found((await uow.checks.lock([key])).get(key), "check")
        results = (await uow.results.list(_ONE, ResultFilter(check_id=key))).total
        _refuse_orphans(results, "results", cascade=cascade)
        await _forget(uow, [key])
        await uow.checks.delete(key)
        await _note(uow, author, "check", row, ("operation_id", "execution_result_id", "expectation_id", "outcome"))


async def remove_result(store: Store, key: UUID, author: Author) -> None:
    """Delete a verdict that another one has replaced.

    Raises:
        NotFoundError: there is no such result.
        ConflictError: it is the current verdict of its check.
        StoreUnavailableError: nothing was deleted.
    """
    async with store.begin() as uow:
        row = _found(await uow.results.get(key), "result")
        await uow.checks.lock([row["detection_execution_id"]])
        if key in {one["id"] for one in await uow.results.current([row["detection_execution_id"]])}:
            raise ConflictError("it is the current verdict of its check: override it, or delete the check")
        await uow.results.delete(key)
        await _note(uow, author, "result", row, ("detection_execution_id", "outcome", "reason"))


def _found(row: Row | None, kind: str) -> Row:
    if row is None:
        raise NotFoundError(f"there is no {kind} with this id")
    return row


def _refuse_orphans(count: int, what: str, *, cascade: bool) -> None:
    if count and not cascade:
        raise ConflictError(f"it has {what}: {count} of them; ?cascade=true deletes them as well")


async def _forget(uow: UnitOfWork, checks: Sequence[UUID]) -> None:
    """Let nothing rest on these checks, which somebody may be writing at this moment."""
    if checks:
        await uow.checks.lock(checks)
        await attribute(uow, {}, asked_before=checks)


async def _note(uow: UnitOfWork, author: Author, kind: str, row: Row, told: Sequence[str]) -> None:
    await uow.audit.note(author, f"{kind}.delete", row["id"], before={name: row[name] for name in told})
    log.info("deleted", kind=kind, id=str(row["id"]))
