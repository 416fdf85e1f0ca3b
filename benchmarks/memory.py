"""The memory of a worker over ten thousand checks, each with a search of its own at a product that answers over HTTP.

    python benchmarks/memory.py [--checks 10000] [--records 20]

One worker process with the Elastic plugin, a private RabbitMQ, and the fake cluster of the tests. Every look asks what
no other one asks, so that no answer serves two, and gets so many records of 1 kB, one of which is its own. Memory is
what nobody else maps (USS), in MB: after a tenth of the checks and after each further one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from rig.figures import options, tell
from rig.processes import Process, Surroundings, started
from rig.system import send, sender
from tests.fakes import Fake
from tests.services import PrivateBroker

from checking_core.contracts import DetectionTask, ExecutionContext, Timing, encode
from checking_core.transport.base import Transport
from checking_core.transport.topology import Topology

TOPOLOGY = Topology()
KEY, HOST = "of a fake", "ws01"
AT = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
STEPS = 10
PATIENCE = 60.0


def task(number: int, records: int) -> DetectionTask:
    """A look for the trace of one command among those of its host."""
    config = {"index": f"logs-*,other-{number}-*", "language": "eql", "query": "any where host.name == ${agent_host}"}
    return DetectionTask(
        task_id=uuid4(),
        detection_execution_id=uuid4(),
        operation_id=uuid4(),
        detection_type="api",
        detection_platform="elastic",
        backend="elastic",
        detection_config={"telemetry": config},
        created_at=datetime.now(UTC),
        execution_context=ExecutionContext(
            agent_host=HOST, pid=1000 + number % records, command="whoami", started_at=AT, finished_at=AT
        ),
        deadline=AT + timedelta(minutes=20),
        deadline_passed=True,
        timing=Timing(before=30, after=300, settle=60, deadline=600, timeout=120),
    )


def held(records: int) -> dict[str, Any]:
    """What every look finds."""
    same = {"@timestamp": AT.isoformat(), "event.category": "process", "host.name": HOST, "message": "x" * 800}
    events = [{**same, "_id": str(number), "process.pid": 1000 + number} for number in range(records)]
    return {"api_key": KEY, "indices": {"logs-endpoint.events.process-default": events}}


async def answered(transport: Transport, results: int) -> None:
    """Wait for so many results; raises ``SystemExit`` when no more come."""
    last, moved = -1, time.perf_counter()
    while (found := (await transport.state(TOPOLOGY.api_responses_queue)).waiting) < results:
        if found != last:
            last, moved = found, time.perf_counter()
        if time.perf_counter() - moved > PATIENCE:
            raise SystemExit(f"{found} of {results} checks are answered, and no more are")
        await asyncio.sleep(0.05)


async def run(broker: str, worker: Process, checks: int, records: int) -> None:
    """Ask in tenths, and look at the memory after each."""
    memory: list[float] = []
    async with sender(broker) as transport:
        around, begin, before = Surroundings([worker]), time.perf_counter(), worker.used()
        for step in range(STEPS):
            numbers = range(step * checks // STEPS, (step + 1) * checks // STEPS)
            await send(transport, TOPOLOGY.task_key("api", "elastic"), [encode(task(n, records)) for n in numbers])
            await answered(transport, numbers.stop)
            memory.append(worker.own_memory())
            tell(f"{numbers.stop} checks", {"own_mb": memory[-1]})
        wall = time.perf_counter() - begin
    growth = {"growth_mb": memory[-1] - memory[0], "most_mb": max(memory)}
    cpu = {"rate": checks / wall, "cpu_ms_per_check": 1000 * (worker.used() - before) / checks}
    tell("worker", {**growth, **cpu, "others_cores": around.cores()})


def main() -> None:
    """Print what was seen."""
    chosen = options(__doc__, checks=10_000, records=20).parse_args()
    with contextlib.closing(PrivateBroker()) as broker, Fake("tests.fakes.elastic:create_app") as fake:
        fake.tell(held(chosen.records))
        broker.start()
        environment = {
            **os.environ,
            "CHECKING_AMQP_URL": broker.url,
            "CHECKING_WORKER_JITTER_MIN": "0",
            "CHECKING_WORKER_JITTER_MAX": "0",
            "CHECKING_BACKENDS": '{"elastic": {"plugin": "elastic"}}',
            "CHECKING_LOG_LEVEL": "WARNING",
            "ELASTIC_URL": fake.url,
            "ELASTIC_API_KEY": KEY,
        }
        with started("checking-worker", "run", environment=environment, ready="serves") as process:
            asyncio.run(run(broker.url, Process("worker", process.pid), chosen.checks, chosen.records))
        searches = [one.status for one in fake.seen("/_eql/search")]
        print(f"searches: {len(searches)}, all answered: {set(searches) == {200}}")


if __name__ == "__main__":
    main()
