"""A person wants one more check of an execution that is stored already."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import structlog

from checking_core.contracts import Hint, LinkMessage, PlannedCheck, Reason, decode_link_message
from checking_core.errors import ConflictError, NotFoundError, RejectedMessageError
from checking_core.storage import Store
from checking_core.storage.audit import Author
from checking_server.flow.accept import Plan
from checking_server.flow.rows import engine_result, planned_check

__all__ = ["AskFor"]

log = structlog.get_logger(__name__)


class AskFor:
    """Plans single checks, as the hint of a message would have been planned.

    Args:
        store: where executions are.
        plan: which checks the hints of an execution make, whatever the expectations say.
        queue_wait: seconds that a task may wait in its queue, part of each lease.
        on_due: called after a commit that left a check to dispatch.
    """

    def __init__(self, store: Store, plan: Plan, *, queue_wait: float, on_due: Callable[[], None]) -> None:
        self._store = store
        self._plan = plan
        self._queue_wait = queue_wait
        self._on_due = on_due

    async def __call__(self, execution_id: UUID, hint: Hint, author: Author) -> tuple[UUID, bool]:
        """Store the check that a hint asks for.

        Args:
            execution_id: the execution's ``id``.
            hint: what is asked of whom.
            author: who wants it, for the audit log.

        Returns:
            The check's id, and whether it is new: the same question of the same backend is one check.

        Raises:
            NotFoundError: there is no such execution.
            RejectedMessageError: the hint cannot be used; names its field.
            ConflictError: nothing is asked of this execution.
            StoreUnavailableError: nothing was stored.
        """
        async with self._store.begin() as uow:
            await uow.executions.lock(execution_id)  # nobody deletes it meanwhile
            raw = await uow.executions.raw(execution_id)
            if raw is None:
                raise NotFoundError("there is no execution with this id")
            told = _told(*raw, hint)
            check = self._planned(told)
            row = planned_check(check, told, uow.now, queue_wait=self._queue_wait, request_id=author.request_id)
            new = check.id in await uow.checks.plan_batch([row])
            if new and check.closed is not None:
                await uow.results.add_batch([engine_result(row, check.closed.outcome, check.closed.reason, uow.now)])
            if new:
                await uow.audit.note(author, "check.create", check.id, after=_shown(row))
        if new:
            self._on_due()
            log.info("asked_for", check=str(check.id))
        return check.id, new

    def _planned(self, told: LinkMessage) -> PlannedCheck:
        assert told.execution is not None  # noqa: S101 - only what told of an execution is stored with one
        checks = self._plan(told.execution, told.operation)
        if not checks:
            raise ConflictError("nothing is asked of this execution: it cleans up")
        check = checks[0]  # what is looked at by itself, where there is no other, stands behind it
        if check.closed is not None and check.closed.reason is Reason.QUERY_INVALID:
            field, _, problem = check.closed.note.partition(": ")
            raise RejectedMessageError(
                field if field.startswith("detection_") else f"detection_config.{field}", problem
            )
        return check


def _told(raw: str, reported_at: datetime, hint: Hint) -> LinkMessage:
    """The message that told of an execution, as if this were all that it asks."""
    told = decode_link_message(raw.encode(), received_at=reported_at)
    assert told.execution is not None  # noqa: S101 - only what told of an execution is stored with one
    return msgspec.structs.replace(told, execution=msgspec.structs.replace(told.execution, hints=(hint,)))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("execution_result_id", "detection_platform", "detection_config", "expect")}
