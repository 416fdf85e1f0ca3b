"""The timer: what becomes of a check whose lease ran out, or whose lane nobody serves.

A lease runs out for a lost worker, and also for a task that only waits: behind others in a slow queue, or for a worker
that is not there. The queue tells them apart. A task that may still wait keeps its lease for another turn, and so does
one that is seen to have left the queue, once: its worker may have begun a moment ago. While answers wait for gather its
own may be among them. Only after that it is sent again, a bounded number of times, then closed as lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog

from checking_core.contracts import CheckStatus, Reason
from checking_core.errors import UnavailableError
from checking_core.storage import Store
from checking_core.transport.base import QueueState, Transport
from checking_core.transport.topology import Topology
from checking_server.flow.give_up import give_up
from checking_server.flow.lanes import Place, places
from checking_server.flow.rows import Row, noting_due
from checking_server.metrics import Metrics

__all__ = ["Expire"]

log = structlog.get_logger(__name__)


class _Fate(StrEnum):
    WAITS = "waits"
    TAKEN = "taken"
    AGAIN = "again"
    LOST = "lost"
    UNSERVED = "unserved"


_HARMLESS = {_Fate.WAITS, _Fate.TAKEN}
_REASON = {_Fate.LOST: Reason.WORKER_LOST, _Fate.UNSERVED: Reason.UNSUPPORTED_PLATFORM}


class Expire:
    """Takes tasks back from workers that never answered, and closes those of backends that nobody serves.

    Args:
        store: where the checks are.
        transport: what knows how their queues stand.
        topology: names of the queues.
        batch_size: checks of one transaction.
        max_dispatches: how often one look is sent before its worker counts as lost.
        patience: how long after acceptance, and how long without any consumer, a backend is waited for.
        on_due: called after a commit that left checks to dispatch.
        metrics: is told of every lease that ran out.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        topology: Topology,
        *,
        batch_size: int,
        max_dispatches: int,
        patience: timedelta,
        on_due: Callable[[], None],
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._transport = transport
        self._topology = topology
        self._batch_size = batch_size
        self._max_dispatches = max_dispatches
        self._patience = patience
        self._on_due = on_due
        self._metrics = metrics or Metrics()
        self._unserved: dict[str, datetime] = {}

    async def __call__(self) -> int:
        """Handle one batch; how many checks were changed.

        Raises:
            UnavailableError: the store or the transport is away; nothing was decided.
        """
        async with self._store.read() as uow:
            lease = await uow.checks.next_lease()
            if not self._unserved and (lease is None or lease >= uow.now):
                return 0
            flying = await uow.checks.in_flight()
            now = uow.now
        found = places(flying, self._queue_of)
        late = [check for check in flying if check["lease_until"] < now]
        states = await self._states({found[check["id"]].queue for check in late}, now)
        unread = await self._unread({check["detection_type"] for check in late})
        ids = [check["id"] for check in flying if self._concerns(check, found[check["id"]].queue, now)]
        fates = await self._apply(ids[: self._batch_size], found, states, unread)
        if fates[_Fate.AGAIN]:
            self._on_due()
        if changed := {fate.value: len(checks) for fate, checks in fates.items() if checks}:
            tell = log.info if changed.keys() <= _HARMLESS else log.warning
            tell("leases_ran_out", **changed)
        for fate, count in changed.items():
            self._metrics.leases(fate, count)
        return sum(changed.values())

    async def idle_seconds(self) -> float:
        """Leases are long: the poll interval is soon enough."""
        return math.inf

    def _queue_of(self, check: Row) -> str:
        return self._topology.task_queue(check["detection_type"], check["detection_platform"], check["agent_host"])

    async def _states(self, queues: set[str], now: datetime) -> dict[str, QueueState]:
        """How these queues stand, and those that nobody served when they were asked last."""
        try:
            states = {queue: await self._transport.state(queue) for queue in sorted(queues | self._unserved.keys())}
        except UnavailableError:
            self._unserved.clear()  # who is connected can be told again when the broker is back
            raise
        alone = [queue for queue, state in states.items() if not state.consumers]
        self._unserved = {queue: self._unserved.get(queue, now) for queue in alone}
        return states

    async def _unread(self, types: set[str]) -> set[str]:
        """Of these detection types those of which answers wait for gather, which may be away."""
        queues = {kind: self._topology.response_queue(kind) for kind in types}
        return {kind for kind, queue in queues.items() if (await self._transport.state(queue)).waiting}

    def _concerns(self, check: Row, queue: str, now: datetime) -> bool:
        return check["lease_until"] < now or self._given_up(check, queue, now)

    def _given_up(self, check: Row, queue: str, now: datetime) -> bool:
        """Whether nobody has served its queue for long, and nobody can be waited for any more."""
        since = self._unserved.get(queue)
        waited_for = max(check["deadline"], check["created_at"] + self._patience)
        return since is not None and now >= max(waited_for, since + self._patience)

    async def _apply(
        self,
        ids: Sequence[UUID],
        found: Mapping[UUID, Place],
        states: Mapping[str, QueueState],
        unread: Collection[str],
    ) -> dict[_Fate, list[Row]]:
        fates: dict[_Fate, list[Row]] = {fate: [] for fate in _Fate}
        if not ids:
            return fates
        async with self._store.begin() as uow:
            for key, check in (await uow.checks.lock(ids)).items():
                answers_wait = check["detection_type"] in unread
                if fate := self._fate(check, found[key], states[found[key].queue], uow.now, answers_wait=answers_wait):
                    fates[fate].append(check)
            await uow.checks.extend_leases([_extended(check, uow.now) for check in fates[_Fate.WAITS]])
            await uow.checks.extend_leases(
                [_extended(check, uow.now, taken=_turn(check)) for check in fates[_Fate.TAKEN]]
            )
            await uow.checks.release_batch([_available(check, uow.now) for check in fates[_Fate.AGAIN]])
            for fate, reason in _REASON.items():
                await give_up(uow, fates[fate], reason)
        return fates

    def _fate(self, check: Row, place: Place, state: QueueState, now: datetime, *, answers_wait: bool) -> _Fate | None:
        """What becomes of a check; ``None`` when it was answered in the meantime."""
        if check["status"] is not CheckStatus.DISPATCHED:
            return None
        if self._given_up(check, place.queue, now):
            return _Fate.UNSERVED
        if check["lease_until"] >= now:
            return None
        if not state.consumers or place.may_wait(state) or answers_wait:
            return _Fate.WAITS
        if check["execution_metadata"].get("taken") != _turn(check):
            return _Fate.TAKEN
        return _Fate.AGAIN if check["dispatches"] < self._max_dispatches else _Fate.LOST


def _turn(check: Row) -> list[int]:
    """Names one sending of one look, so that what was noted of it means nothing for the next."""
    return [check["look"], check["dispatches"]]


def _extended(check: Row, now: datetime, **noted: object) -> dict[str, Any]:
    metadata = check["execution_metadata"]
    until = now + timedelta(seconds=metadata["lease"])
    return {"id": check["id"], "lease_until": until, "execution_metadata": {**metadata, **noted}}


def _available(check: Row, now: datetime) -> dict[str, Any]:
    return {"id": check["id"], "available_at": now, "execution_metadata": noting_due(check)}
