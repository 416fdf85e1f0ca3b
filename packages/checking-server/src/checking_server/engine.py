"""The stations connected: consumers, timers and, in the embedded mode, a worker, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog

from checking_core.errors import UnavailableError, first_of_ours
from checking_core.storage import Store
from checking_core.storage.checks import Progress
from checking_core.transport.base import Transport
from checking_core.transport.topology import Topology
from checking_core.worker.loop import Worker
from checking_server.consumers import Consumer, Station
from checking_server.flow.accept import Accept, Plan
from checking_server.flow.bury import Bury
from checking_server.flow.dispatch import Dispatch
from checking_server.flow.expire import Expire
from checking_server.flow.gather import Gather
from checking_server.flow.pace import Pace, first_of, wait_for
from checking_server.settings import FlowSettings

__all__ = ["Engine"]

log = structlog.get_logger(__name__)


class Engine:
    """One message's whole way.

    Args:
        store: rows.
        transport: messages, started.
        topology: names.
        plan: which checks an execution gets.
        settings: sizes and times.
        max_in_flight: how many checks of a backend may be outstanding at a time.
        worker: the in-process worker of the embedded mode.
        owns_flow: whether this process may run the flow; on an embedded store only one may, others only accept.
    """

    def __init__(
        self,
        *,
        store: Store,
        transport: Transport,
        topology: Topology,
        plan: Plan,
        settings: FlowSettings,
        max_in_flight: Callable[[str], int],
        worker: Worker | None,
        owns_flow: bool = True,
    ) -> None:
        self.store = store
        self.transport = transport
        self.owns_flow = owns_flow
        self._topology = topology
        self._settings = settings
        self._worker = worker
        self._due = asyncio.Event()
        self._changed = asyncio.Event()
        size, patience = settings.batch_size, timedelta(seconds=settings.patience)
        # whoever serves a backend in the embedded mode is in this process already: waiting for another is vain
        unserved = timedelta(0) if worker is not None else patience
        self.accept = Accept(store, plan, queue_wait=settings.queue_wait, on_due=self._due.set)
        self.gather = Gather(store, patience=patience, on_due=self._on_gathered)
        self.dispatch = Dispatch(
            store, transport, topology, max_in_flight=max_in_flight, batch_size=size, patience=unserved
        )
        self.expire = Expire(store, batch_size=size, max_dispatches=settings.max_dispatches, on_due=self._due.set)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the stations of this process read."""
        return tuple(queue for queue, _ in self._stations())

    async def run(self, stop: asyncio.Event) -> None:
        """Run every part until ``stop`` is set; work in hand is finished and settled first.

        Raises:
            BrokerUnavailableError: the transport was away at the start.
        """
        if self.store.embedded:
            await self._take_over()
        async with asyncio.TaskGroup() as parts:
            if self._worker is not None:
                parts.create_task(self._worker.run(stop))
                await first_of(self._worker.serving, stop)
            for consumer in self._consumers():
                parts.create_task(consumer.run(stop))
            parts.create_task(self._timer(self.dispatch, stop, self._due))
            parts.create_task(self._timer(self.expire, stop, asyncio.Event()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run every part while the block runs, then let work in hand end.

        Raises:
            CheckingError: the first that a part ended with.
        """
        stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self.run(stop))
                try:
                    yield
                finally:
                    stop.set()
        except BaseExceptionGroup as group:
            raise first_of_ours(group) from group

    async def settled(
        self, operations: Sequence[UUID], *, wait: bool, tell: Callable[[Progress], None] = lambda _: None
    ) -> Progress:
        """Wait until these operations' checks are closed or, without ``wait``, until none of them is due.

        Args:
            operations: operation ids.
            wait: also for checks whose next look lies in the future.
            tell: called with each change.
        """
        while True:
            self._changed.clear()
            async with self.store.read() as uow:
                progress = await uow.checks.progress(operations)
            tell(progress)
            if not progress.busy and not (wait and progress.waiting):
                return progress
            await wait_for(self._changed, self._settings.poll_interval)

    async def _take_over(self) -> None:
        """The in-process transport forgot what was in flight when the last process ended."""
        async with self.store.begin() as uow:
            released = await uow.checks.release_all()
        log.info("took_over", released=released)

    def _stations(self) -> tuple[tuple[str, Station], ...]:
        topology = self._topology
        return (
            (topology.instructions_queue, self.accept),
            (topology.api_responses_queue, self.gather),
            (topology.agent_responses_queue, self.gather),
            (topology.dead_queue, Bury(self.store)),
        )

    def _consumers(self) -> list[Consumer]:
        sizes = self._settings
        return [
            Consumer(self.transport, queue, station, batch_size=sizes.batch_size, window=sizes.collect_window)
            for queue, station in self._stations()
        ]

    def _on_gathered(self) -> None:
        self._due.set()
        self._changed.set()

    async def _timer(self, station: Dispatch | Expire, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Call a station while it finds work; then wait for a wake-up, for what is due next, or for the stop."""
        pace = Pace()
        while not stop.is_set():
            wake.clear()
            try:
                idle = None if await station() else await station.idle_seconds()
                pace = Pace()
            except UnavailableError as error:
                log.warning("store_away", station=type(station).__name__, problem=str(error))
                await pace.wait(stop)
                continue
            if idle is not None:
                await first_of(wake, stop, seconds=min(idle, self._settings.poll_interval))
