"""Dead letters leave the broker for a table, where people can read, replay and delete them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

import structlog

from checking_core.contracts import CheckStatus, DetectionTask, Reason, decode_task
from checking_core.contracts.text import clean
from checking_core.errors import RejectedMessageError
from checking_core.storage import Store, UnitOfWork
from checking_core.transport.base import Message
from checking_core.transport.topology import DELIVERY_LIMIT, HEADER_FIRST_QUEUE, HEADER_REASON, HEADER_REPLAY_OF
from checking_server.flow.give_up import give_up
from checking_server.flow.rows import Row, awaits

__all__ = ["Bury"]

log = structlog.get_logger(__name__)

_LETTERS = UUID("5d2f5c0e-4f0a-5d3c-9f7e-0c8b7a6e1d42")


class Bury:
    """Stores dead letters, ours and the broker's own, with their reason and the queue they came from.

    The check of a task that no worker survived is closed with it: sent again, the task would end more of them. One that
    was answered all the same, before its worker could ack it, is dropped: nobody waits for it, and there is nothing to
    repair.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, messages: Sequence[Message]) -> Sequence[None]:
        """Keep them, each once however often it is delivered. Raises ``StoreUnavailableError``."""
        tasks = [_fatal_task(message) for message in messages]
        async with self._store.begin() as uow:
            checks = await _checks(uow, tasks)
            kept = [_letter(message) for message, task in zip(messages, tasks, strict=True) if _matters(task, checks)]
            await uow.dead_letters.add_batch(kept)
            lost = await _close(uow, tasks, checks)
        if kept:
            log.warning("buried", letters=len(kept), checks_lost=lost)
        if dropped := len(messages) - len(kept):
            log.info("dead_letters_dropped", letters=dropped, why="their checks wait for no answer")
        return [None] * len(messages)


async def _checks(uow: UnitOfWork, tasks: Sequence[DetectionTask | None]) -> Mapping[UUID, Row]:
    ids = [task.detection_execution_id for task in tasks if task is not None]
    return await uow.checks.lock(ids) if ids else {}


def _matters(task: DetectionTask | None, checks: Mapping[UUID, Row]) -> bool:
    """Whether a person can do something about the letter; of a fatal task only while its check takes the answer."""
    check = checks.get(task.detection_execution_id) if task is not None else None
    return task is None or check is None or awaits(check, task.task_id)


async def _close(uow: UnitOfWork, tasks: Sequence[DetectionTask | None], checks: Mapping[UUID, Row]) -> int:
    """Close the checks that still wait for these tasks; how many there were."""
    awaited = {task.task_id for task in tasks if task is not None}
    lost = [
        check for check in checks.values() if check["status"] is CheckStatus.DISPATCHED and check["task_id"] in awaited
    ]
    await give_up(uow, lost, Reason.WORKER_LOST)
    return len(lost)


def _fatal_task(message: Message) -> DetectionTask | None:
    if message.headers.get(HEADER_REASON) != DELIVERY_LIMIT:
        return None
    try:
        return decode_task(message.body)
    except RejectedMessageError:
        return None


def _letter(message: Message) -> dict[str, object]:
    headers = clean(message.headers)
    queue, message_id = headers.get(HEADER_FIRST_QUEUE, ""), clean(message.message_id)
    return {
        "id": _id(queue, message_id, headers, message.body),
        "queue": queue[:255],
        "message_id": message_id[:255],
        "reason": headers.get(HEADER_REASON, "unknown"),
        "headers": headers,
        "body": message.body,
    }


def _id(queue: str, message_id: str, headers: Mapping[str, str], body: bytes) -> UUID:
    """Derived, so that a second delivery is known; a message that was replayed and failed again is another letter."""
    parts = (queue, message_id, headers.get(HEADER_REPLAY_OF, ""), hashlib.sha256(body).hexdigest())
    return uuid5(_LETTERS, "\0".join(parts))
