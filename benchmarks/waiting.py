"""A hundred thousand checks that wait: what they cost in memory, and how late those leave that are due meanwhile.

    python benchmarks/waiting.py [--checks 100000] [--due 600]

The checks come as messages through the whole system and wait a day for their deadline, when they are looked at. Then
as many more as --due says meet theirs one after the other, 20 a second. From the rows of the database and by its clock:
how much later than its deadline a check was claimed, and how much later its result was stored. Memory is what nobody
else maps (USS), in MB: after a thousand messages of warming up, and the most since; PostgreSQL's shared buffers are no
part of it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from uuid import uuid5

from rig.figures import options, percentile, tell
from rig.link_results import OPERATION, link_result
from rig.processes import Surroundings
from rig.system import Servers, System, running_system, send, sender, servers

from checking_core.transport.base import Transport
from checking_core.transport.topology import Topology

CONFIG: dict[str, object] = {"query": "index=security", "mock": {"answer": "matched"}}
A_DAY = 86_400
FIRST = 1_000
AHEAD = 15.0
"""Seconds until the first one is due: all of them are stored by then, and none is called by another's arrival."""
PER_SECOND = 20
PATIENCE = 60.0
BATCH = 5_000
STORED = "SELECT count(*) FROM checking_engine.detection_executions"
LATE = """
SELECT extract(epoch FROM checks.started_at - deadline)::float AS claimed,
       extract(epoch FROM results.created_at - deadline)::float AS stored
FROM checking_engine.detection_executions AS checks
JOIN checking_engine.execution_results AS executions ON executions.id = checks.execution_result_id
JOIN checking_engine.detection_results AS results ON results.detection_execution_id = checks.id
WHERE link_id = ANY($1)
"""


def waiting(seconds: float) -> dict[str, object]:
    """A check that waits so long after its execution for its one look."""
    return {**CONFIG, "settle": seconds, "deadline": seconds}


class Memory:
    """What each process has for itself, before and at most since."""

    def __init__(self, system: System) -> None:
        self._processes = system.processes
        self._before = self._now()
        self._most = dict(self._before)

    def look(self) -> None:
        """Note the memory of now."""
        self._most = {name: max(size, self._most[name]) for name, size in self._now().items()}

    def figures(self) -> dict[str, float]:
        """Before, and the growth since."""
        before = {f"{name}_before_mb": size for name, size in self._before.items()}
        return before | {f"{name}_growth_mb": size - self._before[name] for name, size in self._most.items()}

    def _now(self) -> dict[str, float]:
        return {process.name: process.own_memory() for process in self._processes}


async def accepted(system: System, checks: int, memory: Memory | None = None) -> None:
    """Wait until so many checks are stored; raises ``SystemExit`` when no more come."""
    last, moved = -1, time.perf_counter()
    while (found := await system.connection.fetchval(STORED)) < checks:
        if found != last:
            last, moved = found, time.perf_counter()
        if time.perf_counter() - moved > PATIENCE:
            raise SystemExit(f"{found} of {checks} checks are stored, and no more come")
        if memory is not None:
            memory.look()
        await asyncio.sleep(1)


async def fill(system: System, transport: Transport, checks: int) -> Memory:
    """Warm up, then let so many checks wait."""
    key, now = Topology().execution_result_key, datetime.now(UTC)
    await send(transport, key, [link_result(number, "mock", CONFIG) for number in range(FIRST)])
    await system.until_stored(FIRST)
    memory = Memory(system)
    for start in range(FIRST, FIRST + checks, BATCH):
        numbers = range(start, min(start + BATCH, FIRST + checks))
        await send(transport, key, [link_result(number, "mock", waiting(A_DAY), now) for number in numbers])
        memory.look()
    await accepted(system, FIRST + checks, memory)
    return memory


async def late(system: System, transport: Transport, checks: int, due: int, memory: Memory) -> dict[str, float]:
    """How late those leave that are due."""
    now, numbers = datetime.now(UTC), range(FIRST + checks, FIRST + checks + due)
    checks_due = [waiting(AHEAD + place / PER_SECOND) for place in range(due)]
    bodies = [link_result(number, "mock", check, now) for number, check in zip(numbers, checks_due, strict=True)]
    await send(transport, Topology().execution_result_key, bodies)
    await accepted(system, FIRST + checks + due)
    while await system.stored() < FIRST + due:
        if (datetime.now(UTC) - now).total_seconds() > AHEAD + due / PER_SECOND + PATIENCE:
            raise SystemExit("checks are due and do not leave")
        memory.look()
        await asyncio.sleep(1)
    rows = await system.connection.fetch(LATE, [uuid5(OPERATION, str(number)) for number in numbers])
    figures: dict[str, float] = {}
    for moment in ("claimed", "stored"):
        seconds = [row[moment] for row in rows]
        figures |= {f"{moment}_late_p50_s": percentile(seconds, 50), f"{moment}_late_p99_s": percentile(seconds, 99)}
        figures[f"{moment}_late_most_s"] = max(seconds)
    return figures


async def run(checks: int, due: int, on: Servers) -> None:
    """One run: what it measures does not vary as rates do."""
    async with running_system(on) as system, sender(system.broker) as transport:
        around, begin = Surroundings(system.processes), time.perf_counter()
        memory = await fill(system, transport, checks)
        tell("accepted", {"rate": (FIRST + checks) / (time.perf_counter() - begin), "others_cores": around.cores()})
        used = {process.name: process.used() for process in system.processes}
        around, begin = Surroundings(system.processes), time.perf_counter()
        figures = await late(system, transport, checks, due, memory)
        wall = time.perf_counter() - begin
        tell("late", {**figures, "others_cores": around.cores()})
        tell("memory", memory.figures())
        cores = {f"{p.name}_cores": (p.used() - used[p.name]) / wall for p in system.processes}
        tell("cpu while they wait", cores)


def main() -> None:
    """Print what was seen."""
    chosen = options(__doc__, checks=100_000, due=600).parse_args()
    with servers() as on:
        asyncio.run(run(chosen.checks, chosen.due, on))


if __name__ == "__main__":
    main()
