"""Station 1: a red-team message becomes an execution and its planned checks, in one transaction per batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import structlog

from checking_core.contracts import (
    ExecutionFacts,
    LinkMessage,
    OperationFacts,
    Outcome,
    PlannedCheck,
    decode_link_message,
    execution_id_of,
)
from checking_core.errors import RejectedMessageError
from checking_core.storage import Store
from checking_core.storage.executions import told_order
from checking_core.transport.base import Message
from checking_core.transport.topology import HEADER_REQUEST_ID
from checking_server.flow.ask_again import ask_again
from checking_server.flow.bisect import bisected
from checking_server.flow.rows import engine_result, planned_check

__all__ = ["Accept", "Accepted", "Change", "Plan", "Plans"]

log = structlog.get_logger(__name__)

_MOST_AHEAD = timedelta(days=1)
"""How far a sender's clock may be ahead. Beyond that a check would wait for a day to come, and then search there."""

Plan: TypeAlias = Callable[[ExecutionFacts, OperationFacts], Sequence[PlannedCheck]]
"""Which checks an execution gets: ``expectations.plan`` with everything but the execution filled in."""


class Plans(NamedTuple):
    """How an execution gets its checks: as all that is known of it says, or as one hint does alone."""

    of_message: Plan
    of_hint: Plan


class Change(StrEnum):
    """What a message changed."""

    NEW = "new"
    REVISED = "revised"
    REPEATED = "repeated"


class Accepted(NamedTuple):
    """The answer to a message: what it changed, and in which operation; the execution's ``id`` if it tells of one."""

    change: Change
    operation_id: UUID
    execution_id: UUID | None = None


class Accept:
    """Stores what the red team did, idempotent on (operation, link).

    Args:
        store: where to.
        plan: which checks an execution gets.
        queue_wait: seconds that a task may wait in its queue, part of each lease.
        on_due: called after a commit that left checks to dispatch.
    """

    def __init__(self, store: Store, plan: Plan, *, queue_wait: float, on_due: Callable[[], None]) -> None:
        self._store = store
        self._plan = plan
        self._queue_wait = queue_wait
        self._on_due = on_due

    async def __call__(self, messages: Sequence[Message]) -> list[Accepted | RejectedMessageError]:
        """Accept messages; the answers stand in their order, a rejection beside each that can never be accepted.

        Raises:
            StoreUnavailableError: nothing is known to be stored; give the same messages again.
        """
        received_at = datetime.now(UTC)
        read = [_read(message, received_at) for message in messages]
        answers = iter(await bisected(self._commit, [told for told in read if isinstance(told, _Told)]))
        return [next(answers) if isinstance(told, _Told) else told for told in read]

    async def _commit(self, batch: Sequence[_Told]) -> Sequence[Accepted]:
        if not batch:
            return []
        async with self._store.begin() as uow:
            changed = await uow.operations.accept_batch([told.link for told in batch])
            links = [told for told in batch if told.link.execution is not None]
            written = await uow.executions.accept_batch([told.link for told in links])
            rows, results = self._planned(links, written, uow.now)
            stored = await uow.checks.plan_batch(rows)
            asked_again = await ask_again(uow, [row for row in rows if _is_revised(row, written)])
            await uow.results.add_batch([row for row in results if row["detection_execution_id"] in stored])
        if len(results) < len(rows):
            self._on_due()
        log.info("accepted", messages=len(batch), executions=len(written), checks=len(stored), asked_again=asked_again)
        return [_disposition(told.link, written, changed) for told in batch]

    def _planned(
        self, links: Sequence[_Told], written: dict[UUID, int], now: datetime
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the checks of each written execution, as its latest message tells it, and of those born closed."""
        newest_first = sorted(links, key=lambda told: told_order(told.link), reverse=True)
        latest = {_row_id(told.link): told for told in reversed(newest_first)}  # of equals the first, as it is stored
        rows: dict[UUID, dict[str, Any]] = {}
        results = []
        for execution_id in written:
            told = latest[execution_id]
            assert told.link.execution is not None  # noqa: S101 - links only
            for check in self._plan(told.link.execution, told.link.operation):
                row = planned_check(check, told.link, now, queue_wait=self._queue_wait, request_id=told.request_id)
                rows[check.id] = row
                if check.closed is not None:
                    results.append(engine_result(row, check.closed.outcome, check.closed.reason, now))
        return list(rows.values()), results


class _Told(NamedTuple):
    """A message and the request that brought it."""

    link: LinkMessage
    request_id: str | None


def _read(message: Message, received_at: datetime) -> _Told | RejectedMessageError:
    try:
        link = decode_link_message(message.body, received_at=received_at)
    except RejectedMessageError as error:
        return error
    newest = max(link.timestamp, link.execution.ended_at) if link.execution else link.timestamp
    if newest > received_at + _MOST_AHEAD:
        return RejectedMessageError("timestamp", "the message tells of a day to come; correct its sender's clock")
    return _Told(link, message.headers.get(HEADER_REQUEST_ID))


def _row_id(message: LinkMessage) -> UUID:
    assert message.execution is not None  # noqa: S101 - links only
    return execution_id_of(message.operation.operation_id, message.execution.link_id)


def _is_revised(row: dict[str, Any], written: dict[UUID, int]) -> bool:
    """Whether this check is open as it is planned now, and may have been planned otherwise before."""
    return row["outcome"] is Outcome.PENDING and written[row["execution_result_id"]] > 1


def _disposition(message: LinkMessage, written: dict[UUID, int], changed: set[UUID]) -> Accepted:
    operation_id = message.operation.operation_id
    execution_id = None if message.execution is None else _row_id(message)
    revision = int(operation_id in changed) if execution_id is None else written.get(execution_id, 0)
    change = {0: Change.REPEATED, 1: Change.NEW}.get(revision, Change.REVISED)
    return Accepted(change, operation_id, execution_id)
