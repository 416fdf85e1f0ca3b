"""Message in to result stored over RabbitMQ and PostgreSQL, server and worker as processes of their own.

    python benchmarks/e2e.py [--messages 10000] [--runs 3] [--stored 0]

The mock plugin answers, jitter 0; with ``--stored 1000000`` so many results are there before. Printed: rate, CPU
seconds per 1,000 messages by process, peak memory, stored, lost, doubled, and the cores that others used meanwhile.
"""

from __future__ import annotations

import asyncio
import time

from rig.figures import medians, options, tell
from rig.link_results import link_result
from rig.processes import Surroundings
from rig.system import Servers, running_system, send, sender, servers

from checking_core.transport.topology import Topology

CONFIG = {"query": "index=security", "mock": {"answer": "matched"}}


async def run_once(messages: int, on: Servers, *, stored: int) -> dict[str, float]:
    """One run on a database with so many results, and empty queues."""
    bodies = [link_result(number, "mock", CONFIG) for number in range(messages)]
    async with running_system(on, stored=stored) as system, sender(system.broker) as transport:
        around = Surroundings(system.processes)
        begin = time.perf_counter()
        sending = asyncio.create_task(send(transport, Topology().execution_result_key, bodies))
        wall = await system.until_stored(messages) - begin
        await sending
        figures = {"rate": messages / wall}
        for process in system.processes:
            figures[f"{process.name}_cpu_s_per_1000"] = process.used() / messages * 1000
        figures["cpu_s_per_1000"] = sum(figures[f"{process.name}_cpu_s_per_1000"] for process in system.processes)
        figures |= {f"{process.name}_peak_mb": process.peak for process in system.processes[:2]}
        figures["others_cores"] = around.cores()
        figures["lost"], figures["doubled"] = await system.lost_and_doubled(messages)
    return figures


def main() -> None:
    """Print each run and the medians."""
    chosen = options(__doc__, messages=10_000, runs=3, stored=0).parse_args()
    runs = []
    with servers() as on:
        for number in range(chosen.runs):
            runs.append(asyncio.run(run_once(chosen.messages, on, stored=chosen.stored)))
            tell(f"run {number + 1}", runs[-1])
    tell("median", medians(runs))


if __name__ == "__main__":
    main()
