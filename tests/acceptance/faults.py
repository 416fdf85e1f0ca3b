"""A site of real processes that are killed while messages flow, and what must be true of it when they have."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import asyncpg

from checking_core.transport.base import Message, Outgoing, Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.topology import Topology

from .bundle import message
from .command import CHECKING, checking, environment
from .echo import Echo
from .worker import WORKER

ROLES = ("accept", "dispatch", "gather", "expire")
WORKERS = ("worker-1", "worker-2")
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


class Kill(NamedTuple):
    """What is killed, and how much of what is on its way then has been stored already."""

    victim: str
    moment: float

    def done(self, counts: Counts) -> int:
        """How much of it is stored: what is accepted runs ahead of what is answered."""
        return counts.executions if self.victim == "accept" else counts.results


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
        self._folder = folder
        self._database = database
        self._services = services or {}
        self._settings = {**_SETTINGS, "DATABASE_URL": database, "AMQP_URL": broker, "TOPOLOGY_PREFIX": prefix}
        self._settings |= settings
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._connection: asyncpg.Connection | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Set up and start everything; kill it at the end."""
        for verbs in (("db", "upgrade"), ("broker", "setup")):
            done = checking(self._folder, *verbs, **self._settings)
            assert done.returncode == 0, done.stderr
        await self.transport.start()
        try:
            async with self.echo.listening():
                for part in (*ROLES, *WORKERS):
                    self._start(part)
                yield
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()
            await self.transport.close()
            await self._disconnect()

    def log(self, part: str) -> str:
        """What a part has logged, all its lives one after the other."""
        return (self._folder / f"{part}.log").read_text()

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
        self._processes[victim].kill()
        self._processes[victim].wait()
        self._start(victim)

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
            self._connection = await asyncpg.connect(self._database.replace("+asyncpg", ""), timeout=10)
        return list(await self._connection.fetch(query, timeout=10))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=5)

    def _start(self, part: str) -> None:
        role = ["serve", "--role", part]
        with (self._folder / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                [WORKER, "run"] if part in WORKERS else [CHECKING, *role],
                cwd=self._folder,
                env=environment(self._folder, self._settings),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.starts[part] += 1

    def _tend(self) -> None:
        """What could not start is started again; what ended for any other reason has failed."""
        for part, process in list(self._processes.items()):
            if (code := process.poll()) is not None:
                assert code == _AWAY, f"{part} ended with {code}:\n{self.log(part)[-3000:]}"
                self._start(part)

    def _last_words(self) -> str:
        return "\n".join(f"--- {part}\n{self.log(part)[-1500:]}" for part in self._processes)


_SETTINGS: dict[str, Any] = {
    "BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 30}}',  # small, as batches are: a kill meets work
    "BATCH_SIZE": 10,
    "WORKER_JITTER_MIN": 0.2,
    "WORKER_JITTER_MAX": 0.4,
    "WORKER_MAX_RETRIES": 0,
    "QUEUE_WAIT": 2,
    "MAX_DISPATCHES": 20,  # leases are a hundredth of what they are in use, outages are not
    "LOG_FORMAT": "json",
}


def good(topology: Topology, count: int) -> list[Outgoing]:
    """Messages with one check each, whose time-out is short, yet long enough for a busy machine."""
    texts = [message(number, mock={"answer": "alerted"}, timeout=5) for number in range(count)]
    return [
        Outgoing(topology.execution_result_key, Message(body=text.encode(), message_id=f"good-{number}"))
        for number, text in enumerate(texts)
    ]


async def run(site: Site, count: int, kills: Sequence[Kill], random: Random) -> None:
    """Send ``count`` messages, each twice and in any order, killing as it is told; then everything must be there.

    The second copies of one half come among the others, those of the other half when everything is done: a message
    that was lost must not be found again in its copy. The same holds for the results.
    """
    firsts = good(site.topology, count)
    doubled = random.sample(firsts, count // 2)
    ids = {item.message.message_id for item in doubled}
    items = firsts + doubled
    random.shuffle(items)
    sent: set[str] = set()
    sending: list[asyncio.Task[None]] = []
    for number, kill in enumerate(kills):
        part = items[len(items) * number // len(kills) : len(items) * (number + 1) // len(kills)]
        sent |= {item.message.message_id for item in part}
        sending.append(asyncio.create_task(site.send(part)))
        await _strike(site, kill, len(sent))
    await asyncio.gather(*sending)
    await site.until(lambda now: now.closed >= count, f"{count} closed checks")
    await site.until(lambda _: len(site.echo.heard) >= count, f"{count} results heard")
    await site.send([item for item in firsts if item.message.message_id not in ids])
    await site.echo.send_kept()
    await site.drained()
    site.assert_ends_well()
    await site.assert_each_done_once(count)
    assert await site.dead_letters() == []


async def _strike(site: Site, kill: Kill, sent: int) -> None:
    """Kill at its moment, which is one with work on its way."""
    before = kill.done(await site.until(lambda _: True, "an answer"))
    goal = before + kill.moment * (sent - before)
    reached = await site.until(lambda now: kill.done(now) >= goal, f"{goal:.0f} done")
    assert reached.closed < sent, f"{kill.victim} was killed too late to prove anything"
    await site.kill(kill.victim)
