"""Message in to result stored over RabbitMQ and PostgreSQL, server and worker as processes of their own.

    python benchmarks/e2e.py [--messages 10000] [--runs 3]

Private servers with their own defaults for durability (fsync and synchronous commit on), quorum queues, the mock
plugin, jitter 0. Printed: rate, CPU seconds per 1,000 messages by process, peak memory, stored, lost, doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from link_results import link_result  # noqa: E402 - the script is run from anywhere
from tests.services import PrivateBroker, PrivatePostgres, fresh_database  # noqa: E402

from checking_core.transport.base import Message, Outgoing  # noqa: E402
from checking_core.transport.factory import create_transport  # noqa: E402
from checking_core.transport.topology import Topology  # noqa: E402

BATCH = 500
COUNTS = "SELECT count(*), count(DISTINCT {key}) FROM checking_engine.{table}"


class Process:
    """A process and what it has used: CPU of all its children too, dead ones included where the system counts them."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self._root = psutil.Process(pid)
        self.peak = 0.0
        self._before = self._cpu()

    def used(self) -> float:
        """CPU seconds since the beginning."""
        return self._cpu() - self._before

    def look(self) -> None:
        """Note the memory of now."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.peak = max(self.peak, sum(member.memory_info().rss for member in self._members()) / 1e6)

    def _cpu(self) -> float:
        total = 0.0
        for member in self._members():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _members(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


@contextlib.contextmanager
def started(*command: str, environment: dict[str, str], ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours, once it has said that it is ready."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        while ready not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit(f"{command[0]} ended with {process.wait()}")
        yield process
    finally:
        process.terminate()
        process.wait(30)


async def publish(url: str, bodies: list[bytes]) -> None:
    """Everything, confirmed."""
    topology = Topology()
    transport = create_transport(url, topology)
    await transport.start()
    for start in range(0, len(bodies), BATCH):
        items = [
            Outgoing(topology.execution_result_key, Message(body=body, message_id=str(start + number)))
            for number, body in enumerate(bodies[start : start + BATCH])
        ]
        failed = [error for error in await transport.publish(items) if error is not None]
        if failed:
            raise SystemExit(f"{len(failed)} messages were not taken: {failed[0]}")
    await transport.close()


async def counts(database: str) -> dict[str, tuple[int, int]]:
    """Rows and distinct keys of the three tables."""
    connection = await asyncpg.connect(database.replace("+asyncpg", ""))
    tables = {"execution_results": "link_id", "detection_executions": "id", "detection_results": "task_id"}
    found = {
        table: tuple(await connection.fetchrow(COUNTS.format(key=key, table=table))) for table, key in tables.items()
    }
    await connection.close()
    return found


def run_once(messages: int, server: PrivatePostgres, broker: PrivateBroker) -> dict[str, float]:
    """One run on an empty database and empty queues."""
    bodies = [
        link_result(number, "mock", {"query": "index=security", "mock": {"answer": "matched"}})
        for number in range(messages)
    ]
    with fresh_database(server.url) as database, tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "CHECKING_DATABASE_URL": database,
            "CHECKING_AMQP_URL": broker.url,
            "CHECKING_WORKER_JITTER_MIN": "0",
            "CHECKING_WORKER_JITTER_MAX": "0",
            "CHECKING_WORKER_CONCURRENCY": "200",
            "CHECKING_BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 2000}}',
            "CHECKING_LOG_LEVEL": "WARNING",
            "CHECKING_API_PORT": "0",
        }
        for command in (("checking", "db", "upgrade"), ("checking", "broker", "setup")):
            subprocess.run(command, env=environment, check=True, cwd=folder, stdout=subprocess.DEVNULL)
        serve = started("checking", "serve", environment=environment, ready="serves on")
        work = started("checking-worker", "run", environment=environment, ready="serves")
        with serve as server_process, work as worker_process:
            watched = [
                Process("server", server_process.pid),
                Process("worker", worker_process.pid),
                Process("postgresql", server.pid),
                Process("broker", broker.pid),
            ]
            return measured(watched, messages, bodies, database, broker.url)


def measured(watched: list[Process], messages: int, bodies: list[bytes], database: str, url: str) -> dict[str, float]:
    """Publish, and watch until every result is stored or nothing has moved for a minute."""
    begin = time.perf_counter()
    asyncio.run(publish(url, bodies))
    last, moved = -1, time.perf_counter()
    while True:
        rows = asyncio.run(counts(database))
        for process in watched:
            process.look()
        stored = rows["detection_results"][0]
        if stored != last:
            last, moved = stored, time.perf_counter()
        if stored >= messages or time.perf_counter() - moved > 60:
            break
        time.sleep(0.05)
    wall = moved - begin
    figures = {"rate": messages / wall}
    for process in watched:
        figures[f"{process.name}_cpu_s_per_1000"] = process.used() / messages * 1000
    figures["cpu_s_per_1000"] = sum(figures[f"{process.name}_cpu_s_per_1000"] for process in watched)
    for process in watched[:2]:
        figures[f"{process.name}_peak_mb"] = process.peak
    figures["lost"] = messages - min(distinct for _, distinct in rows.values())
    figures["doubled"] = max(total - distinct for total, distinct in rows.values())
    return figures


def main() -> None:
    """Print each run and the medians."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with contextlib.closing(PrivatePostgres(durable=True)) as server, contextlib.closing(PrivateBroker()) as broker:
        server.start()
        broker.start()
        runs = []
        for number in range(chosen.runs):
            runs.append(run_once(chosen.messages, server, broker))
            print(
                f"run {number + 1}:", ", ".join(f"{name} {value:,.4g}" for name, value in runs[-1].items()), flush=True
            )
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print("median:", ", ".join(f"{name} {value:,.4g}" for name, value in medians.items()))


if __name__ == "__main__":
    main()
