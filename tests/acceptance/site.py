"""Every part of an installation as a process of its own, and what must be true of it when messages have passed."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import aio_pika
import asyncpg

from checking_core.storage import migrate
from checking_core.transport.base import Outgoing, Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.topology import Topology

from .command import CHECKING, checking, environment
from .echo import Echo
from .worker import WORKER

ROLES = ("accept", "dispatch", "gather", "expire")
WORKERS = ("worker-1", "worker-2")
IN_FLIGHT = 30
"""Tasks that are outstanding at a time: few, as batches are small, so that a kill meets work."""
PATIENCE = 60
"""Seconds without any change after which a site counts as stuck."""

_AWAY = 3
"""Exit code of a process that found its database or broker away at its start: whoever runs it starts it again."""
_POLL = 0.01

_COUNTS = """
    SELECT (SELECT count(*) FROM checking_engine.execution_results) AS executions,
           (SELECT count(*) FROM checking_engine.detection_results) AS results,
           (SELECT count(*) FROM checking_engine.detection_executions WHERE status = 'completed') AS closed,
           (SELECT count(*) FROM checking_engine.dead_letters) AS dead
"""
_VERDICTS = """
    SELECT done.status, done.outcome, count(*) AS rows, count(DISTINCT done.execution_result_id) AS executions,
           count(DISTINCT result.task_id) AS tasks
    FROM checking_engine.detection_executions AS done
    LEFT JOIN checking_engine.detection_results AS result ON result.detection_execution_id = done.id
    GROUP BY 1, 2
"""


class Counts(NamedTuple):
    """How far a site is."""

    executions: int
    results: int
    closed: int
    dead: int


class Site:
    """Every role of the server and two workers, each a process of its own, on one database and one broker.

    Args:
        folder: for logs.
        database: URL of an empty database, ``postgresql+asyncpg``.
        broker: URL.
        services: how to kill and start what the processes rest on, by name.
        settings: variables without their prefix, beside those that keep leases short.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        broker: str,
        *,
        services: Mapping[str, Callable[[], None]] | None = None,
        **settings: Any,
    ) -> None:
        prefix = f"faults{secrets.token_hex(4)}."
        self.topology = Topology().prefixed(prefix)
        self.transport: Transport = create_transport(broker, self.topology)
        self.echo = Echo(broker, self.topology)
        self.starts: Counter[str] = Counter()
        self.folder = folder
        self.settings: dict[str, Any] = {
            **_SETTINGS,
            "DATABASE_URL": database,
            "AMQP_URL": broker,
            "TOPOLOGY_PREFIX": prefix,
            **settings,
        }
        self._services = services or {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._connection: asyncpg.Connection | None = None

    @asynccontextmanager
    async def running(self, *, without: Collection[str] = ()) -> AsyncIterator[None]:
        """Set up everything and start it, but for some parts; kill it at the end."""
        await migrate.upgrade(self.settings["DATABASE_URL"])
        done = checking(self.folder, "broker", "setup", **self.settings)
        assert done.returncode == 0, done.stderr
        await self.transport.start()
        try:
            async with self.echo.listening():
                for part in (*ROLES, *WORKERS):
                    if part not in without:
                        self.start(part)
                yield
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            await self.transport.close()
            await self._disconnect()

    def log(self, part: str) -> str:
        """What a part has logged, all its lives one after the other."""
        return (self.folder / f"{part}.log").read_text()

    def logged(self, part: str, event: str) -> list[dict[str, Any]]:
        """What a part has said of one kind, up to the last line that is whole."""
        whole, _, _ = self.log(part).rpartition("\n")
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    async def send(self, items: Sequence[Outgoing]) -> None:
        """Publish until a queue has taken every one."""
        while items:
            answers = await self.transport.publish(items)
            items = [item for item, error in zip(items, answers, strict=True) if error is not None]
            if items:
                await asyncio.sleep(0.2)

    async def kill(self, victim: str) -> None:
        """End it as a power cut would, and start it again."""
        if victim in self._services:
            await asyncio.to_thread(self._services[victim])
            return
        self.end(victim)
        self.start(victim)

    def start(self, part: str) -> None:
        """Start a part of which no process runs."""
        role = ["serve", "--no-auth", "--role", part]
        with (self.folder / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [WORKER, "run"] if part in WORKERS else [CHECKING, *role],
                cwd=self.folder,
                env=environment(self.folder, self.settings),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.starts[part] += 1

    def end(self, part: str) -> None:
        """End it as a power cut would; it stays away."""
        process = self._processes.pop(part)
        process.kill()
        process.wait()

    async def forget(self, queue: str) -> None:
        """Delete a queue, with all that is in it."""
        async with await aio_pika.connect(self.settings["AMQP_URL"]) as connection:
            await (await connection.channel()).queue_delete(queue)

    async def counts(self) -> Counts | None:
        """How far it is; ``None`` while the database is away."""
        try:
            return Counts(*(await self._asked(_COUNTS))[0])
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await self._disconnect()
            return None

    async def until(self, reached: Callable[[Counts], bool], what: str) -> Counts:
        """Look again and again until it is so; fails when nothing has moved for long."""
        last, moved = None, time.monotonic()
        while True:
            self._tend()
            counts = await self.counts()
            if counts is not None and reached(counts):
                return counts
            if counts is not None and counts != last:
                last, moved = counts, time.monotonic()
            assert time.monotonic() - moved < PATIENCE, f"stuck at {last}: never {what}; logs: {self._last_words()}"
            await asyncio.sleep(_POLL)

    async def drained(self) -> None:
        """Wait until no queue holds a message any more."""
        topology = self.topology
        queues = [binding.queue for binding in topology.bindings()]
        queues += [topology.task_queue("api", "mock"), topology.dead_queue, self.echo.queue]
        waiting: dict[str, int] = {}
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._tend()
            waiting = {queue: (await self.transport.state(queue)).waiting for queue in queues}
            if not any(waiting.values()):
                return
            await asyncio.sleep(_POLL)
        raise AssertionError(f"never drained: {waiting}")

    def assert_ends_well(self) -> None:
        """Told to stop, every part ends what it has in hand."""
        for process in self._processes.values():
            process.terminate()
        codes = {part: process.wait(PATIENCE) for part, process in self._processes.items()}
        assert codes == dict.fromkeys(codes, 0)

    async def assert_each_done_once(self, executions: int) -> None:
        """Nothing lost, nothing twice, nothing stuck: one execution, one closed check, one result each."""
        verdicts = [tuple(row) for row in await self._asked(_VERDICTS)]
        assert verdicts == [("completed", "alerted", executions, executions, executions)]
        assert (await self._asked("SELECT count(*) FROM checking_engine.execution_results"))[0][0] == executions

    async def dead_letters(self) -> list[tuple[str, str, bytes]]:
        """Queue, reason and body of each."""
        rows = await self._asked("SELECT queue, reason, body FROM checking_engine.dead_letters")
        return [tuple(row) for row in rows]

    async def _asked(self, query: str) -> list[asyncpg.Record]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self.settings["DATABASE_URL"].replace("+asyncpg", ""), timeout=10)
        return list(await self._connection.fetch(query, timeout=10))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)

    def _tend(self) -> None:
        """What could not start is started again; what ended for any other reason has failed."""
        for part, process in list(self._processes.items()):
            if (code := process.poll()) is not None:
                assert code == _AWAY, f"{part} ended with {code}:\n{self.log(part)[-3000:]}"
                self.start(part)

    def _last_words(self) -> str:
        return "\n".join(f"--- {part}\n{self.log(part)[-1500:]}" for part in self._processes)


_SETTINGS: dict[str, Any] = {
    "BACKENDS": f'{{"mock": {{"plugin": "mock", "max_in_flight": {IN_FLIGHT}}}}}',
    "BATCH_SIZE": 10,
    "WORKER_JITTER_MIN": 0.2,
    "WORKER_JITTER_MAX": 0.4,
    "WORKER_MAX_RETRIES": 0,
    "QUEUE_WAIT": 2,
    "MAX_DISPATCHES": 20,  # leases are a hundredth of what they are in use, outages are not
    "LOG_FORMAT": "json",
}
