"""One worker process of ours and of its peers: tasks that do nothing, and tasks that wait 10 ms.

    python benchmarks/worker.py [--tasks 10000] [--runs 3] [--install] [--only NAME]

Everybody finds the same number of tasks in a quorum queue of one RabbitMQ, holds at most 200 of them, and for each
publishes one persistent result into a quorum queue, confirmed, before the task is acked. Ours decodes, asks the mock
plugin, judges and encodes; the peers carry the same JSON in and out. Measured is the time between the first tenth of
the results and the last one, so that nobody's start counts. How the 10 ms pass: ours are the jitter before a look;
Celery and Dramatiq block a process or a thread; the others wait without.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import aio_pika
from rig.figures import medians, options, tell
from rig.peers import COLUMNS, PROGRAMS, Column, install
from rig.processes import Process, Surroundings
from rig.system import send, sender
from tests.services import PrivateBroker

from checking_core.contracts import DetectionTask, ExecutionContext, Timing, encode
from checking_core.settings import WorkerSettings
from checking_core.transport.base import Transport
from checking_core.transport.topology import Topology
from checking_core.worker.run_task import run_task
from checking_plugin_mock.detector import MockDetector
from checking_plugin_mock.settings import MockSettings

WAITS = {"no-op": 0.0, "10 ms": 0.01}
PREFETCH = 200
PATIENCE = 60.0
TOPOLOGY = Topology()


class Contender(NamedTuple):
    """Who is measured: where its tasks and results are, what starts its worker and, for a peer, what sends tasks."""

    name: str
    tasks: str
    results: str
    command: Sequence[str]
    environment: dict[str, str]
    send: Sequence[str] = ()


def ours(url: str, wait: float) -> Contender:
    """Our worker with the mock plugin."""
    environment = {
        "CHECKING_AMQP_URL": url,
        "CHECKING_WORKER_JITTER_MIN": str(wait),
        "CHECKING_WORKER_JITTER_MAX": str(wait),
        "CHECKING_BACKENDS": '{"mock": {"plugin": "mock"}}',
        "CHECKING_LOG_LEVEL": "WARNING",
    }
    command = ("checking-worker", "run", "--concurrency", str(PREFETCH))
    queues = TOPOLOGY.task_queue("api", "mock"), TOPOLOGY.api_responses_queue
    return Contender(f"checking {version('checking-core')}", *queues, command, environment)


def peer(column: Column, url: str, wait: float, examples: Path) -> Contender:
    """A peer's worker with its program."""
    environment = {
        "PEER_URL": url,
        "PEER_WAIT": str(wait),
        "PEER_PREFETCH": str(column.prefetch),
        "PEER_EXAMPLES": str(examples),
        "PYTHONPATH": str(PROGRAMS),
    }
    program = (str(column.python), str(PROGRAMS / f"{column.peer}_peer.py"))
    name = f"{column.peer} {column.version()} ({column.how})"
    return Contender(name, "peer.tasks", "peer.results", column.command, environment, program)


def task() -> DetectionTask:
    """A task as the server sends it, about 1 kB."""
    now = datetime.now(UTC)
    context = ExecutionContext(
        agent_host="ws01.corp.example",
        agent_paw="bench",
        link_id=uuid4(),
        pid=4000,
        command="rundll32.exe C:\\Windows\\System32\\comsvcs.dll, MiniDump 624 C:\\l.dmp full",
        executor="cmd",
        platform="windows",
        technique_id="T1003",
        tactic="credential-access",
        started_at=now,
        finished_at=now,
    )
    return DetectionTask(
        task_id=uuid4(),
        detection_execution_id=uuid4(),
        operation_id=uuid4(),
        detection_type="api",
        detection_platform="mock",
        backend="mock",
        detection_config={"rule": {"query": "index=security"}, "mock": {"answer": "matched"}},
        created_at=now,
        execution_context=context,
        deadline=now,
        deadline_passed=True,
        timing=Timing(before=30, after=300, settle=60, deadline=600),
    )


def write_examples(folder: Path) -> None:
    """One of our tasks and its result, for the peers to carry."""
    example, at_once = task(), WorkerSettings(jitter_min=0, jitter_max=0)
    (folder / "task.json").write_bytes(encode(example))
    result = asyncio.run(run_task(MockDetector("mock", MockSettings()), example, at_once))
    (folder / "result.json").write_bytes(encode(result))


@contextlib.contextmanager
def working(contender: Contender) -> Iterator[Process]:
    """Its worker; what it says is shown if it ends by itself."""
    environment = {**os.environ, **contender.environment}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(contender.command, env=environment, cwd=PROGRAMS, stdout=said, stderr=said)
        try:
            yield Process("worker", process.pid)
        finally:
            ended = process.poll()
            process.terminate()
            process.wait(60)
            if ended is not None:
                said.seek(0)
                print(f"{contender.name} ended with {ended}:", said.read().decode()[-2000:])


async def waiting(transport: Transport, queue: str, count: int, process: Process | None = None) -> tuple[int, float]:
    """Wait until so many messages are in a queue; how many there are then, and when."""
    moved, last, looked = time.perf_counter(), 0, 0.0
    while (found := (await transport.state(queue)).waiting) < count:
        now = time.perf_counter()
        if found != last:
            last, moved = found, now
        if now - moved > PATIENCE:
            raise SystemExit(f"{queue} has {found} of {count} messages, and no more come")
        if process is not None and now - looked > 0.25:
            looked = now
            process.look()
        await asyncio.sleep(0.02)
    return found, time.perf_counter()


async def fill(transport: Transport, contender: Contender, tasks: int) -> None:
    """Send the tasks; nobody serves them yet."""
    if contender.send:
        environment = {**os.environ, **contender.environment}
        sending = await asyncio.create_subprocess_exec(*contender.send, str(tasks), env=environment)
        if await sending.wait():
            raise SystemExit(f"{contender.name}: its program did not send the tasks")
    else:
        await (await transport.subscribe(contender.tasks, prefetch=1)).stop()  # declares the lane
        await send(transport, TOPOLOGY.task_key("api", "mock"), [encode(task()) for _ in range(tasks)])
    await waiting(transport, contender.tasks, tasks)


async def run_once(contender: Contender, broker: PrivateBroker, tasks: int) -> dict[str, float]:
    """One run from full to empty; the queues are deleted afterwards."""
    async with sender(broker.url) as transport:
        await fill(transport, contender, tasks)
        with working(contender) as process:
            first, begin = await waiting(transport, contender.results, tasks // 10, process)
            around, before = Surroundings([process, Process("broker", broker.pid)]), process.used()
            last, end = await waiting(transport, contender.results, tasks, process)
            cpu, others = process.used() - before, around.cores()
            process.look()
    async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
        for queue in (contender.tasks, contender.results):
            await channel.queue_delete(queue)
    done = last - first
    return {
        "rate": done / (end - begin),
        "cpu_s_per_1000": cpu / done * 1000,
        "peak_mb": process.peak,
        "others_cores": others,
    }


def chosen_columns(*, installing: bool) -> list[Column]:
    """The peers that are here; those that are not are named."""
    if installing:
        install(COLUMNS)
    there = {column.peer: column.version() is not None for column in COLUMNS}
    for name in (name for name, found in there.items() if not found):
        print(f"{name}: left out, for it is not installed; --install makes its environment with uv")
    return [column for column in COLUMNS if there[column.peer]]


def main() -> None:
    """Print each run, and the medians side by side."""
    parser = options(__doc__, tasks=10_000, runs=3)
    parser.add_argument("--install", action="store_true", help="make the environments of peers that are missing")
    parser.add_argument("--only", default="", help="contenders whose names begin so")
    chosen = parser.parse_args()
    columns = chosen_columns(installing=chosen.install)
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(PrivateBroker()) as broker:
        broker.start()
        write_examples(Path(folder))
        for kind, wait in WAITS.items():
            everybody = [ours(broker.url, wait), *(peer(column, broker.url, wait, Path(folder)) for column in columns)]
            runs: dict[str, list[dict[str, float]]] = {}
            for number in range(chosen.runs):  # in turns, so that what disturbs one disturbs all
                for one in (one for one in everybody if one.name.startswith(chosen.only)):
                    runs.setdefault(one.name, []).append(asyncio.run(run_once(one, broker, chosen.tasks)))
                    tell(f"{kind}, run {number + 1}, {one.name}", runs[one.name][-1])
            for name, figures in runs.items():
                tell(f"{kind}, median, {name}", medians(figures))


if __name__ == "__main__":
    main()
