"""Station 2: due checks become tasks. The checks table is the outbox: commit first, then publish with confirms."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import structlog

from checking_core.contracts import (
    CheckStatus,
    DetectionTask,
    ExecutionContext,
    Reason,
    TaskMetadata,
    Timing,
    encode,
)
from checking_core.errors import BrokerUnavailableError, PublishError, UnroutableError
from checking_core.storage import Store, UnitOfWork
from checking_core.transport.base import Message, Outgoing, Transport
from checking_core.transport.topology import HEADER_REQUEST_ID, Topology
from checking_server.flow.give_up import give_up
from checking_server.flow.rows import Row, noting_due
from checking_server.metrics import Metrics

__all__ = ["Dispatch"]

log = structlog.get_logger(__name__)

_BACK_OFF_FIRST = 1.0
_BACK_OFF_LONGEST = 60.0


class Dispatch:
    """Claims due checks with a lease and sends their tasks.

    Args:
        store: where the checks are.
        transport: what carries the tasks.
        topology: where to.
        max_in_flight: how many checks of a backend may be outstanding at a time.
        batch_size: checks of one transaction.
        patience: how long after acceptance a backend that nobody serves is waited for.
        metrics: is told of every task.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        topology: Topology,
        *,
        max_in_flight: Callable[[str], int],
        batch_size: int,
        patience: timedelta,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._transport = transport
        self._topology = topology
        self._max_in_flight = max_in_flight
        self._batch_size = batch_size
        self._patience = patience
        self._metrics = metrics or Metrics()
        self._looked = datetime.min.replace(tzinfo=UTC)

    async def __call__(self) -> int:
        """Send one batch; how many checks were claimed, 0 when nothing is due.

        Raises:
            StoreUnavailableError: what was claimed comes back when its lease runs out.
            BrokerUnavailableError: no task left; all of them wait in the store again.
        """
        async with self._store.begin() as uow:
            checks = await uow.checks.claim_due(limit=self._batch_size, max_in_flight=self._max_in_flight)
            executions = await uow.executions.by_ids([check["execution_result_id"] for check in checks])
            now = self._looked = uow.now
        if not checks:
            return 0
        items = [self._outgoing(check, executions[check["execution_result_id"]], now) for check in checks]
        outcomes = await self._transport.publish(items)
        for check, error in zip(checks, outcomes, strict=True):
            self._metrics.task(check["detection_platform"], sent=error is None)
        failed = [(check, error) for check, error in zip(checks, outcomes, strict=True) if error is not None]
        log.info("dispatched", tasks=len(checks) - len(failed), returned=len(failed))
        if failed:
            async with self._store.begin() as uow:
                await self._take_back(uow, failed)
            _complain_of_an_outage(outcomes)
        return len(checks)

    async def idle_seconds(self) -> float:
        """How long there is nothing to do, as far as it can be known; raises ``StoreUnavailableError``.

        Checks that are due and wait for a free place of their backend are woken by gather, not by the clock.
        """
        async with self._store.read() as uow:
            due = await uow.checks.next_due(after=self._looked)
            return math.inf if due is None else max((due - uow.now).total_seconds(), 0)

    def _outgoing(self, check: Row, execution: Row, now: datetime) -> Outgoing:
        kind, backend, host = check["detection_type"], check["detection_platform"], execution["agent_host"]
        task = DetectionTask(
            task_id=check["task_id"],
            detection_execution_id=check["id"],
            operation_id=check["operation_id"],
            detection_type=kind,
            detection_platform=backend,
            detection_config=check["detection_config"],
            created_at=now,
            execution_context=_context(execution),
            max_retries=check["max_retries"],
            metadata=TaskMetadata(worker_type=kind, target_queue=self._topology.task_queue(kind, backend, host)),
            look=check["look"],
            deadline=check["deadline"],
            deadline_passed=check["deadline"] <= now,
            backend=backend,
            timing=msgspec.convert(check["execution_metadata"]["timing"], Timing),
        )
        request_id = check["execution_metadata"].get("request_id")
        headers = {HEADER_REQUEST_ID: request_id} if request_id else {}
        message = Message(body=encode(task), message_id=str(task.task_id), headers=headers)
        return Outgoing(self._topology.task_key(kind, backend, host), message)

    async def _take_back(self, uow: UnitOfWork, failed: Sequence[tuple[Row, PublishError]]) -> None:
        """Checks whose task did not leave wait and try again; one that nobody ever served is given up."""
        held = await uow.checks.lock([check["id"] for check, _ in failed])
        open_still = [(held[check["id"]], error) for check, error in failed if _is_out(held[check["id"]], check)]
        hopeless = [check for check, error in open_still if self._given_up(check, error, uow.now)]
        ids = {check["id"] for check in hopeless}
        await uow.checks.release_batch(
            [_released(check, error, uow.now) for check, error in open_still if check["id"] not in ids]
        )
        await give_up(uow, hopeless, Reason.UNSUPPORTED_PLATFORM)

    def _given_up(self, check: Row, error: PublishError, now: datetime) -> bool:
        waited_long_enough: bool = now >= max(check["deadline"], check["created_at"] + self._patience)
        return isinstance(error, UnroutableError) and waited_long_enough


def _is_out(held: Row, sent: Row) -> bool:
    """Whether it still waits for the task that was sent: it may be answered by now, or be at its next look."""
    return held["status"] is CheckStatus.DISPATCHED and bool(held["task_id"] == sent["task_id"])


def _complain_of_an_outage(outcomes: Sequence[PublishError | None]) -> None:
    """Where nothing leaves at all it is the broker, not a backend: claiming more would only move rows about."""
    first = outcomes[0]
    if all(outcomes) and not any(isinstance(error, UnroutableError) for error in outcomes):
        raise BrokerUnavailableError(f"the broker took none of {len(outcomes)} tasks: {first}") from first


def _released(check: Row, error: PublishError, now: datetime) -> dict[str, Any]:
    """As it was before the claim, for nothing was sent. A lane that is missing is tried more and more rarely."""
    unroutable = isinstance(error, UnroutableError)
    returns = check["execution_metadata"].get("returns", 0) + 1 if unroutable else 0
    wait = min(_BACK_OFF_FIRST * 2 ** min(returns, 10), _BACK_OFF_LONGEST)
    # where only the confirm was lost the task is on its way all the same
    metadata = check["execution_metadata"] if unroutable else noting_due(check)
    return {
        "id": check["id"],
        "available_at": now + timedelta(seconds=wait),
        "dispatches": check["dispatches"] - 1,
        "execution_metadata": {**metadata, "returned": str(error)[:300], "returns": returns},
    }


def _context(execution: Row) -> ExecutionContext:
    agent = execution["agent"] or {}
    return ExecutionContext(
        user=agent.get("user"),
        addresses=tuple(agent.get("ips") or ()),
        agent_pid=agent.get("pid"),
        **{name: execution[name] for name in _SAME_NAME},
    )


_FROM_AGENT = ("user", "addresses", "agent_pid", "host_aliases")
_SAME_NAME = tuple(name for name in ExecutionContext.__struct_fields__ if name not in _FROM_AGENT)
