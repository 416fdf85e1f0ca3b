"""A person tells or corrects what no message did: operations, and how an execution is mapped to ATT&CK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Store
from checking_core.storage.audit import Author
from checking_server.flow.rows import Row

__all__ = ["add_operation", "correct_execution", "correct_max_retries", "correct_note", "correct_operation"]


async def add_operation(store: Store, author: Author, columns: Mapping[str, Any]) -> Row:
    """Store an operation before anything of it has run.

    Returns:
        Its row.

    Raises:
        ConflictError: there is one of this ``operation_id``.
        StoreUnavailableError: nothing was stored.
    """
    async with store.begin() as uow:
        row = await uow.operations.add(**columns)
        if row is None:
            raise ConflictError(f"there is an operation with the operation_id {columns['operation_id']} already")
        await uow.audit.note(author, "operation.create", row["id"], after=columns)
    return row


async def correct_operation(store: Store, key: UUID, author: Author, columns: Mapping[str, Any]) -> None:
    """Replace what is known of an operation.

    Args:
        store: where it is.
        key: its id or its operation id.
        author: who does, for the audit log.
        columns: those that change.

    Raises:
        NotFoundError: there is no such operation.
        StoreUnavailableError: nothing was changed.
    """
    async with store.begin() as uow:
        row = await uow.operations.lock(key)
        if row is None:
            raise NotFoundError("there is no operation with this id")
        if changed := _changed(row, columns):
            await uow.operations.correct(row["operation_id"], **changed)
            await uow.audit.note(author, "operation.update", row["id"], before=_same(row, changed), after=changed)


async def correct_execution(store: Store, key: UUID, author: Author, columns: Mapping[str, Any]) -> None:
    """Replace what is known of an execution; its checks stay as they are. See ``correct_operation``."""
    async with store.begin() as uow:
        row = await uow.executions.lock(key)
        if row is None:
            raise NotFoundError("there is no execution with this id")
        if changed := _changed(row, columns):
            await uow.executions.correct(key, **changed)
            await uow.audit.note(author, "execution.update", key, before=_same(row, changed), after=changed)


async def correct_max_retries(store: Store, key: UUID, author: Author, max_retries: int) -> None:
    """Let the looks of a check to come be repeated so often. See ``correct_operation``."""
    async with store.begin() as uow:
        row = (await uow.checks.lock([key])).get(key)
        if row is None:
            raise NotFoundError("there is no check with this id")
        if changed := _changed(row, {"max_retries": max_retries}):
            await uow.checks.correct(key, **changed)
            await uow.audit.note(author, "check.update", key, before=_same(row, changed), after=changed)


async def correct_note(store: Store, key: UUID, author: Author, note: str) -> None:
    """Replace what is noted beside a verdict; the verdict itself stays as it is. See ``correct_operation``."""
    async with store.begin() as uow:
        row = await uow.results.get(key)
        if row is None:
            raise NotFoundError("there is no result with this id")
        metadata = row["metadata"] or {}
        if metadata.get("note") != note:
            await uow.results.correct(key, metadata={**metadata, "note": note})
            before = {"note": metadata.get("note")}
            await uow.audit.note(author, "result.update", key, before=before, after={"note": note})


def _changed(row: Row, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if row[name] != value}


def _same(row: Row, columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in columns}
