"""The stations connected: consumers, timers and, if it is wanted, a worker, all or some of them in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import structlog

from checking_core.errors import UnavailableError, first_of_ours
from checking_core.storage import Store
from checking_core.storage.audit import Author
from checking_core.storage.checks import Progress
from checking_core.transport.base import QueueState, Transport
from checking_core.transport.topology import Topology
from checking_core.worker.loop import Worker
from checking_server.consumers import Consumer, Station
from checking_server.flow.accept import Accept, Plans
from checking_server.flow.ask_for import AskFor
from checking_server.flow.bury import Bury
from checking_server.flow.dispatch import Dispatch
from checking_server.flow.expire import Expire
from checking_server.flow.gather import Gather
from checking_server.flow.pace import Pace, first_of, wait_for
from checking_server.flow.replay import Replay
from checking_server.flow.retry import retry
from checking_server.metrics import Metrics
from checking_server.roles import Role
from checking_server.settings import FlowSettings

__all__ = ["Engine"]

log = structlog.get_logger(__name__)

_GATHERED_WITHIN = 3.0
_A_MOMENT = 0.05


class Engine:
    """One message's whole way, or the parts of it that run in this process.

    Args:
        store: rows.
        transports: messages, started; one for each role that runs here, its user's. Without any this process accepts
            what it is given, and others do the rest.
        topology: names.
        plans: which checks an execution gets.
        settings: sizes and times.
        max_in_flight: how many checks of a backend may be outstanding at a time.
        worker: of the role worker.
        takes_over: whether what is in flight at the start was lost with the process that sent it.

    Attributes:
        metrics: what the stations of this process count.
    """

    def __init__(
        self,
        *,
        store: Store,
        transports: Mapping[Role, Transport],
        topology: Topology,
        plans: Plans,
        settings: FlowSettings,
        max_in_flight: Callable[[str], int],
        worker: Worker | None = None,
        takes_over: bool = False,
    ) -> None:
        self.store = store
        self.metrics = Metrics()
        self._transports = dict(transports)
        self._topology = topology
        self._settings = settings
        self._max_in_flight = max_in_flight
        self._worker = worker
        self._takes_over = takes_over
        self._patience = timedelta(seconds=settings.patience)
        self._due = asyncio.Event()
        self._changed = asyncio.Event()
        self.accept = Accept(store, plans.of_message, queue_wait=settings.queue_wait, on_due=self._due.set)
        self.ask_for = AskFor(store, plans.of_hint, queue_wait=settings.queue_wait, on_due=self._due.set)

    @property
    def rests_on_broker(self) -> bool:
        """Whether anything here needs what carries the messages."""
        return bool(self._transports)

    @property
    def dispatches(self) -> bool:
        """Whether this process sends tasks, so that what it accepts is carried out while it runs."""
        return Role.DISPATCH in self._transports

    @property
    def replay(self) -> Replay | None:
        """What sends dead letters to the queues of this process again, if it has any."""
        transport = next(iter(self._transports.values()), None)
        return Replay(self.store, transport, self._topology) if transport is not None else None

    @property
    def queues(self) -> dict[str, Callable[[str], Awaitable[QueueState]]]:
        """The queues that the stations of this process read, and whom to ask how they stand."""
        return {queue: self._transports[role].state for role, queue, _ in self._stations() if role in self._transports}

    async def run(self, stop: asyncio.Event) -> None:
        """Run every part until ``stop`` is set; work in hand is finished and settled first.

        Raises:
            BrokerUnavailableError: the transport was away at the start.
        """
        if self._takes_over:
            await self._take_over()
        answered = stop if self._worker is None else asyncio.Event()
        async with asyncio.TaskGroup() as parts:
            if self._worker is not None:
                parts.create_task(self._work(self._worker, stop, answered))
            for role, consumer in self._consumers():
                parts.create_task(consumer.run(answered if role is Role.GATHER else stop))
            if (transport := self._transports.get(Role.EXPIRE)) is not None:
                parts.create_task(self._timer(self._expire(transport), stop, asyncio.Event()))
            if self._worker is not None:  # nothing is sent before somebody serves it
                await first_of(self._worker.serving, stop)
            if (transport := self._transports.get(Role.DISPATCH)) is not None:
                async with self.store.listening(self._due.set):
                    await self._timer(self._dispatch(transport), stop, self._due)
            else:
                await self._ring(stop)

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

    async def retry(self, check_ids: Sequence[UUID], author: Author) -> None:
        """Have closed checks asked once more; see ``flow.retry``."""
        await retry(self.store, check_ids, author, on_due=self._due.set)

    async def _take_over(self) -> None:
        """The in-process transport forgot what was in flight when the last process ended."""
        async with self.store.begin() as uow:
            released = await uow.checks.release_all()
        log.info("took_over", released=released)

    def _dispatch(self, transport: Transport) -> Dispatch:
        # whoever serves a backend in the embedded mode is in this process already: waiting for another is vain
        unserved = timedelta(0) if self._worker is not None else self._patience
        limits, size = self._max_in_flight, self._settings.batch_size
        return Dispatch(
            self.store,
            transport,
            self._topology,
            max_in_flight=limits,
            batch_size=size,
            patience=unserved,
            metrics=self.metrics,
        )

    def _expire(self, transport: Transport) -> Expire:
        return Expire(
            self.store,
            transport,
            self._topology,
            batch_size=self._settings.batch_size,
            max_dispatches=self._settings.max_dispatches,
            patience=self._patience,
            on_due=self._due.set,
            metrics=self.metrics,
        )

    def _stations(self) -> tuple[tuple[Role, str, Station], ...]:
        topology = self._topology
        gather = Gather(self.store, patience=self._patience, on_due=self._on_gathered, metrics=self.metrics)
        return (
            (Role.ACCEPT, topology.instructions_queue, self.accept),
            (Role.GATHER, topology.api_responses_queue, gather),
            (Role.GATHER, topology.agent_responses_queue, gather),
            (Role.GATHER, topology.dead_queue, Bury(self.store)),
        )

    def _consumers(self) -> list[tuple[Role, Consumer]]:
        size, window = self._settings.batch_size, self._settings.collect_window
        return [
            (
                role,
                Consumer(self._transports[role], queue, station, batch_size=size, window=window, metrics=self.metrics),
            )
            for role, queue, station in self._stations()
            if role in self._transports
        ]

    async def _work(self, worker: Worker, stop: asyncio.Event, answered: asyncio.Event) -> None:
        """Run the worker. Only then gather may end: on the in-process transport the last answers would be lost."""
        await worker.run(stop)
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(_GATHERED_WITHIN):
                await self._gathered()
        answered.set()

    async def _gathered(self) -> None:
        """Wait until every answer is in the hands of gather."""
        transport = self._transports.get(Role.GATHER)
        queues = [queue for role, queue, _ in self._stations() if role is Role.GATHER]
        while transport is not None and any([(await transport.state(queue)).waiting for queue in queues]):
            self._changed.clear()
            await wait_for(self._changed, _A_MOMENT)

    def _on_gathered(self) -> None:
        self._due.set()
        self._changed.set()

    async def _ring(self, stop: asyncio.Event) -> None:
        """Wake those who dispatch, once for all that has become due since; the last time at the stop."""
        while not stop.is_set():
            await first_of(self._due, stop)
            if self._due.is_set():
                self._due.clear()
                try:
                    await self.store.ring()
                except UnavailableError as error:
                    log.warning("not_rung", problem=str(error))

    async def _timer(self, station: Dispatch | Expire, stop: asyncio.Event, wake: asyncio.Event) -> None:
        """Call a station while it finds work; then wait for a wake-up, for what is due next, or for the stop."""
        pace = Pace()
        while not stop.is_set():
            wake.clear()
            try:
                idle = None if await station() else await station.idle_seconds()
                pace = Pace()
            except UnavailableError as error:
                log.warning("station_waits", station=type(station).__name__, problem=str(error))
                await pace.wait(stop)
                continue
            if idle is not None:
                await first_of(wake, stop, seconds=min(idle, self._settings.poll_interval))
