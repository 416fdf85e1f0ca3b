"""The whole system: server and worker as processes of their own, on a private PostgreSQL and a private RabbitMQ.

Both keep their own defaults for durability (fsync and synchronous commit on); the queues are quorum queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg  # type: ignore[import-untyped]
from tests.services import PrivateBroker, PrivatePostgres, fresh_database

from checking_core.transport.base import Message, Outgoing, Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.topology import Topology
from rig.processes import Process, started
from rig.stored import fill

__all__ = ["Servers", "System", "running_system", "send", "sender", "servers"]

_BATCH = 500
_DISTINCT = {"execution_results": "link_id", "detection_executions": "id", "detection_results": "task_id"}
_EVERYTHING = "SELECT count(*), count(DISTINCT {key}) FROM checking_engine.{table} WHERE created_at >= $1"


class Servers(NamedTuple):
    """What the system rests on; one pair serves all runs of a benchmark."""

    postgres: PrivatePostgres
    broker: PrivateBroker


class System(NamedTuple):
    """A running system.

    ``connection`` watches its database; what that costs there is no part of the figures of ``processes``: server,
    worker, postgresql and broker, in this order. What was stored before it ``began`` is not counted.
    """

    broker: str
    processes: list[Process]
    connection: asyncpg.Connection
    began: datetime

    async def stored(self) -> int:
        """Results so far."""
        query = "SELECT count(*) FROM checking_engine.detection_results WHERE created_at >= $1"
        count: int = await self.connection.fetchval(query, self.began)
        return count

    async def until_stored(self, messages: int, *, patience: float = 60.0) -> float:
        """Wait for so many results, or until none has come for that many seconds; when the last one was seen."""
        last, moved, looked = -1, time.perf_counter(), 0.0
        while (now := time.perf_counter()) - moved < patience:
            if (stored := await self.stored()) != last:
                last, moved = stored, time.perf_counter()
            if stored >= messages:
                break
            if now - looked > 1:
                looked = now
                self.look()
            await asyncio.sleep(0.1)
        self.look()
        return moved

    def look(self) -> None:
        """Note the memory of every process."""
        for process in self.processes:
            process.look()

    async def lost_and_doubled(self, messages: int) -> tuple[int, int]:
        """Of so many messages, those that are not in every table, and rows beyond one each."""
        rows = [
            await self.connection.fetchrow(_EVERYTHING.format(key=k, table=t), self.began) for t, k in _DISTINCT.items()
        ]
        return messages - min(distinct for _, distinct in rows), max(total - distinct for total, distinct in rows)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """A PostgreSQL and a RabbitMQ of this benchmark's own."""
    with contextlib.closing(PrivatePostgres(durable=True)) as postgres, contextlib.closing(PrivateBroker()) as broker:
        postgres.start()
        broker.start()
        yield Servers(postgres, broker)


@contextlib.asynccontextmanager
async def running_system(on: Servers, *, stored: int = 0) -> AsyncIterator[System]:
    """Server and worker with the mock plugin, jitter 0, on a database with so many results, and empty queues."""
    with fresh_database(on.postgres.url) as database, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "CHECKING_DATABASE_URL": database,
            "CHECKING_AMQP_URL": on.broker.url,
            "CHECKING_WORKER_JITTER_MIN": "0",
            "CHECKING_WORKER_JITTER_MAX": "0",
            "CHECKING_WORKER_CONCURRENCY": "200",
            "CHECKING_BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 2000}}',
            "CHECKING_LOG_LEVEL": "WARNING",
            "CHECKING_API_PORT": "0",
        }
        _set_up(environment, folder)
        connection = await asyncpg.connect(database.replace("+asyncpg", ""))
        await fill(connection, 0, stored)
        began = await connection.fetchval("SELECT now()")
        serve = started("checking", "serve", environment=environment, ready="serves on")
        work = started("checking-worker", "run", environment=environment, ready="serves")
        try:
            with serve as server, work as worker:
                watcher = connection.get_server_pid()
                processes = [
                    Process("server", server.pid),
                    Process("worker", worker.pid),
                    Process("postgresql", on.postgres.pid, apart=[watcher]),
                    Process("broker", on.broker.pid),
                ]
                yield System(on.broker.url, processes, connection, began)
        finally:
            await connection.close()


def _set_up(environment: dict[str, str], folder: str) -> None:
    for command in (("checking", "db", "upgrade"), ("checking", "broker", "setup")):
        subprocess.run(command, env=environment, check=True, cwd=folder, stdout=subprocess.DEVNULL)


@contextlib.asynccontextmanager
async def sender(url: str) -> AsyncIterator[Transport]:
    """A connection to publish with."""
    transport = create_transport(url, Topology())
    await transport.start()
    try:
        yield transport
    finally:
        await transport.close()


async def send(transport: Transport, key: str, bodies: Sequence[bytes]) -> None:
    """Everything, confirmed."""
    for start in range(0, len(bodies), _BATCH):
        batch = bodies[start : start + _BATCH]
        items = [Outgoing(key, Message(body=body, message_id=str(start + n))) for n, body in enumerate(batch)]
        failed = [error for error in await transport.publish(items) if error is not None]
        if failed:
            raise SystemExit(f"{len(failed)} messages were not taken: {failed[0]}")
