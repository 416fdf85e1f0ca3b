"""How long a message takes to its stored result when little happens: 20 messages a second into the whole system.

    python benchmarks/latency.py [--messages 600] [--per-second 20] [--runs 3]

From the moment before a message is published until its result is committed. A trigger on the results notifies, and
PostgreSQL delivers a notification when the transaction that caused it is committed: nothing is polled, both moments are
on the clock of this process, and what the trigger and the delivery take is part of the figure. Messages leave when
their turn has come, whether those before them are done or not; a random place in each turn keeps them from falling into
step with any timer.
"""

from __future__ import annotations

import asyncio
import time
from random import Random
from uuid import UUID, uuid5

from rig.figures import medians, options, percentile, tell
from rig.link_results import OPERATION, link_result
from rig.processes import Surroundings
from rig.system import Servers, System, running_system, send, sender, servers

from checking_core.transport.base import Transport
from checking_core.transport.topology import Topology

CONFIG = {"query": "index=security", "mock": {"answer": "matched"}}
FIRST = 40
"""Messages that are not counted: plans, caches and connections are new."""
PATIENCE = 30.0
TRIGGER = """
CREATE FUNCTION checking_engine.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('stored', link_id::text)
  FROM checking_engine.detection_executions AS checks
  JOIN checking_engine.execution_results AS executions ON executions.id = checks.execution_result_id
  WHERE checks.id = NEW.detection_execution_id;
  RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER INSERT ON checking_engine.detection_results
FOR EACH ROW EXECUTE FUNCTION checking_engine.tell();
"""


async def times(system: System, transport: Transport, messages: int, per_second: int) -> list[float]:
    """Milliseconds from publish to stored, in the order of sending."""
    sent: dict[UUID, float] = {}
    stored: dict[UUID, float] = {}
    complete = asyncio.Event()

    def note(*notification: object) -> None:
        stored.setdefault(UUID(str(notification[-1])), time.perf_counter())
        if len(stored) == messages:
            complete.set()

    async def send_one(number: int) -> None:
        body = link_result(number, "mock", CONFIG)
        sent[uuid5(OPERATION, str(number))] = time.perf_counter()
        await send(transport, Topology().execution_result_key, [body])

    await system.connection.execute(TRIGGER)
    await system.connection.add_listener("stored", note)
    place, begin = Random(1), time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number in range(messages):
            turn = begin + (number + place.random()) / per_second
            await asyncio.sleep(max(0.0, turn - time.perf_counter()))
            sending.create_task(send_one(number))
    async with asyncio.timeout(PATIENCE):
        await complete.wait()
    return [(stored[link] - moment) * 1000 for link, moment in sent.items()]


async def run_once(messages: int, per_second: int, on: Servers) -> dict[str, float]:
    """One run on an empty database and empty queues."""
    async with running_system(on) as system, sender(system.broker) as transport:
        around = Surroundings(system.processes)
        begin = time.perf_counter()
        taken = (await times(system, transport, messages + FIRST, per_second))[FIRST:]
        wall = time.perf_counter() - begin
        cores = {f"{process.name}_cores": process.used() / wall for process in system.processes}
        figures = {f"p{percent}_ms": percentile(taken, percent) for percent in (50, 95, 99)}
        return {**figures, "longest_ms": max(taken), **cores, "others_cores": around.cores()}


def main() -> None:
    """Print each run and the medians."""
    chosen = options(__doc__, messages=600, per_second=20, runs=3).parse_args()
    runs = []
    with servers() as on:
        for number in range(chosen.runs):
            runs.append(asyncio.run(run_once(chosen.messages, chosen.per_second, on)))
            tell(f"run {number + 1}", runs[-1])
    tell("median", medians(runs))


if __name__ == "__main__":
    main()
