"""The stations on a real store of both kinds, an in-process transport, and a clock that tests move."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from checking_core.contracts import Answer, DetectionResult, DetectionTask, Outcome, Reason, decode_task, encode
from checking_core.settings import BackendSettings, HintsMode, PlanSettings
from checking_core.storage import Store, migrate
from checking_core.storage.audit import Author
from checking_core.storage.tables import (
    detection_executions,
    detection_results,
    execution_results,
    metadata,
    operations,
)
from checking_core.testing import a_result
from checking_core.transport.base import Message, Subscription
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology
from checking_server.bootstrap import planner
from checking_server.flow.accept import Accept, Plan
from checking_server.flow.dispatch import Dispatch
from checking_server.flow.expire import Expire
from checking_server.flow.gather import Gather

from .api_client import client_of

SOMEBODY = Author(name="somebody")
ENDED = datetime(2026, 1, 15, 9, 0, 2, tzinfo=UTC)
BACKENDS = {"siem": BackendSettings(plugin="siem", max_in_flight=3), "edr": BackendSettings(plugin="edr")}


class Clock:
    """The store's time: stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = ENDED

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """An empty store."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    await migrate.upgrade(url)
    async with Store(url, clock=clock) as opened:
        async with opened.begin() as uow:
            for table in reversed(metadata.sorted_tables):
                await uow.connection.execute(sa.delete(table))
        yield opened


class Stations:
    """The stations as one process has them, called one at a time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.store = store
        self.clock = clock
        self.topology = Topology()
        self.transport = MemoryTransport(self.topology)
        self.woken = 0
        self.plan = planner(PlanSettings(hints=HintsMode.ALWAYS), BACKENDS, max_retries=1)
        self.accept = Accept(store, self._plan, queue_wait=60, on_due=self._wake)
        self.gather = Gather(store, patience=timedelta(seconds=900), on_due=self._wake)
        self.expire = self.expiring(self.transport)
        self.dispatch = self.dispatching(self.transport)

    def dispatching(self, transport: MemoryTransport) -> Dispatch:
        """A dispatcher on this transport."""
        return Dispatch(
            self.store,
            transport,
            self.topology,
            max_in_flight=lambda name: BACKENDS[name].max_in_flight if name in BACKENDS else 200,
            batch_size=200,
            patience=timedelta(seconds=900),
        )

    def expiring(self, transport: MemoryTransport) -> Expire:
        """A timer that asks this transport."""
        return Expire(
            self.store,
            transport,
            self.topology,
            batch_size=200,
            max_dispatches=2,
            patience=timedelta(seconds=900),
            on_due=self._wake,
        )

    @property
    def _plan(self) -> Plan:
        return self.plan

    def _wake(self) -> None:
        self.woken += 1

    async def serve(self, backend: str) -> Subscription:
        """Play the worker of a backend."""
        return await self.transport.subscribe(self.topology.task_queue("api", backend), prefetch=1000)

    async def accepts(self, *bodies: bytes) -> list[Any]:
        return list(await self.accept([Message(body=body, message_id=str(n)) for n, body in enumerate(bodies)]))

    async def gathers(self, *results: Any) -> list[Any]:
        return list(await self.gather([Message(body=encode(result), message_id=str(result.id)) for result in results]))

    async def rows(self, table: sa.Table) -> list[Any]:
        async with self.store.read() as uow:
            return list((await uow.connection.execute(sa.select(table))).mappings())

    async def checks(self) -> list[Any]:
        return await self.rows(detection_executions)

    async def results(self) -> list[Any]:
        return await self.rows(detection_results)

    async def executions(self) -> list[Any]:
        return await self.rows(execution_results)

    async def operations(self) -> list[Any]:
        return await self.rows(operations)


@pytest.fixture
async def stations(store: Store, clock: Clock) -> AsyncIterator[Stations]:
    """Ready to be called; the clock stands at the end of the execution."""
    found = Stations(store, clock)
    await found.transport.start()
    yield found
    await found.transport.close()


@pytest.fixture
async def client(stations: Stations) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API that plans as the stations do."""
    async with client_of(stations.store, plan=stations.plan) as opened:
        yield opened


@pytest.fixture
def link() -> Callable[..., bytes]:
    """A link_result of one execution with one check of the backend ``siem``, any field of ``execution`` replaced."""

    def build(number: int = 1, *, operation: dict[str, Any] | None = None, **execution: Any) -> bytes:
        told = {
            "link_id": f"00000000-0000-4000-8000-{number:012}",
            "agent_host": "ws01",
            "agent_paw": "paw",
            "command": "whoami",
            "pid": 42,
            "status": 0,
            "link_state": "SUCCESS",
            "collect": "2026-01-15T09:00:00Z",
            "finish": "2026-01-15T09:00:02Z",
            "detections": [hint()],
            **execution,
        }
        about = {"operation_id": "10000000-0000-4000-8000-000000000001", "name": "op", "state": "running"}
        message = {
            "message_type": "link_result",
            "timestamp": "2026-01-15T09:00:03Z",
            "operation": {**about, **(operation or {})},
            "execution": told,
        }
        return msgspec.json.encode(message)

    return build


def hint(backend: str = "siem", **config: Any) -> dict[str, Any]:
    """One entry of ``detections``: asks a rule, settles at once, has a deadline after ten minutes."""
    return {
        "detection_type": "api",
        "detection_platform": backend,
        "detection_config": {"query": "index=security", "settle": 0, **config},
    }


async def taken(subscription: Subscription) -> list[DetectionTask]:
    """The tasks that wait, taken and acked."""
    deliveries = await subscription.batch(1000, 0)
    await subscription.ack(deliveries)
    return [decode_task(delivery.message.body) for delivery in deliveries]


def an_answer(task: DetectionTask) -> DetectionResult:
    """A worker's answer to a task: alerted, final."""
    about = {"id": task.task_id, "detection_execution_id": task.detection_execution_id, "look": task.look}
    return a_result(**about, alert_at=None, result_timestamp=task.created_at)


def not_yet(task: DetectionTask) -> DetectionResult:
    """A worker's answer to a task: nothing so far, ask again."""
    nothing = {"alert": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.DEADLINE_NOT_REACHED}
    return msgspec.structs.replace(an_answer(task), **nothing, final=False)
