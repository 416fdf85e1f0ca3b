"""Message in to result stored, on SQLite and the in-process transport: rate, CPU, memory, stored, lost, doubled.

    python benchmarks/e2e_embedded.py [--messages 10000] [--runs 3]

One process holds the whole engine and a detector that answers at once; jitter is 0. Each run has a fresh database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
import structlog
from rig.link_results import OPERATION, link_result

from checking_core.contracts import Answer, Ask, DetectionTask
from checking_core.plugin.base import BaseWorker, NoSettings
from checking_core.plugin.finding import Finding
from checking_core.settings import BackendSettings, HintsMode, PlanSettings, WorkerSettings
from checking_core.storage import Store, migrate
from checking_core.storage.tables import detection_executions, detection_results, execution_results
from checking_core.transport.base import Message, Outgoing
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology
from checking_core.worker.loop import Worker
from checking_server.bootstrap import plans_of
from checking_server.engine import Engine
from checking_server.roles import Role
from checking_server.settings import FlowSettings

IN_FLIGHT = 1000


class Instant(BaseWorker):
    """Answers yes, at once."""

    platform = "instant"
    answers = frozenset({Ask.RULE})

    async def detect(self, task: DetectionTask) -> Finding:  # noqa: ARG002 - the answer is the same for every task
        """A hit."""
        return Finding(rule=Answer.YES)


async def run_once(messages: int, folder: Path) -> dict[str, float]:
    """One run; the figures of the part between the first publish and the last stored result."""
    url = f"sqlite+aiosqlite:///{folder / 'bench.db'}"
    await migrate.upgrade(url)
    topology, transport = Topology(), MemoryTransport()
    await transport.start()
    worker_settings = WorkerSettings(jitter_min=0, jitter_max=0, concurrency=200)
    backends = {"instant": BackendSettings(plugin="instant", max_in_flight=IN_FLIGHT)}
    detectors = {"instant": Instant("instant", NoSettings())}
    bodies = [link_result(number, "instant", {"query": "index=security comsvcs"}) for number in range(messages)]
    async with Store(url) as store:
        engine = Engine(
            store=store,
            transports=dict.fromkeys(Role, transport),
            topology=topology,
            plans=plans_of(PlanSettings(hints=HintsMode.ALWAYS), backends, max_retries=1),
            settings=FlowSettings(),
            max_in_flight=lambda _: IN_FLIGHT,
            worker=Worker(transport, topology, detectors, worker_settings),
        )
        async with engine.running():
            wall, cpu = time.perf_counter(), time.process_time()
            for start in range(0, messages, 200):
                await transport.publish(
                    [
                        Outgoing(topology.execution_result_key, Message(body=body, message_id=str(start + n)))
                        for n, body in enumerate(bodies[start : start + 200])
                    ]
                )
            while (progress := await engine.settled([OPERATION], wait=True)).closed < messages:
                if (await transport.state(topology.instructions_queue)).waiting == 0 and not progress.busy:
                    await asyncio.sleep(0.05)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        async with store.read() as uow:
            counts = [
                (await uow.connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
                for table in (execution_results, detection_executions, detection_results)
            ]
    return {
        "rate": messages / wall,
        "cpu_s_per_1000": cpu / messages * 1000,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "executions": counts[0],
        "checks": counts[1],
        "results": counts[2],
        "lost": messages - min(counts),
        "doubled": max(counts) - messages,
    }


def main() -> None:
    """Run in fresh processes, so that memory is each run's own; print each and the medians."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.one:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(run_once(chosen.messages, Path(folder)))))
        return
    runs = []
    for number in range(chosen.runs):
        command = [sys.executable, __file__, "--one", "--messages", str(chosen.messages)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"run {number + 1}:", ", ".join(f"{name} {value:,.4g}" for name, value in runs[-1].items()))
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print("median:", ", ".join(f"{name} {value:,.4g}" for name, value in medians.items()))


if __name__ == "__main__":
    main()
