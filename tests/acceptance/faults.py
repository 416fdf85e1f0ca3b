"""What is done to a site while messages flow; afterwards each of them must have been done exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

from tests.services import PrivatePostgres

from checking_core.transport.base import Message, Outgoing
from checking_core.transport.topology import DELIVERY_LIMIT, Topology

from .bundle import message
from .command import Served, eventually, served
from .site import IN_FLIGHT, ROLES, WORKERS, Counts, Site

ONE_CHANCE = {"QUEUE_WAIT": 0, "MAX_DISPATCHES": 1}
"""A lease is as long as one attempt may take, and who does not answer within it counts as lost at once."""


REDELIVERS = (*WORKERS, "broker")
"""Victims whose end has tasks delivered again."""
_REDELIVERIES = 3
"""How often that may happen to one task: after that its worker counts as lost, as it is meant to."""


class Kill(NamedTuple):
    """What is killed, and how much of what is on its way then has been stored already."""

    victim: str
    moment: float

    def done(self, counts: Counts) -> int:
        """How much of it is stored: what is accepted runs ahead of what is answered."""
        return counts.executions if self.victim == "accept" else counts.results


def good(topology: Topology, count: int, *, timeout: float = 5) -> list[Outgoing]:
    """Messages with one check each, whose time-out is short, yet long enough for a busy machine."""
    texts = [message(number, mock={"answer": "alerted"}, timeout=timeout) for number in range(count)]
    return [
        Outgoing(topology.execution_result_key, Message(body=text.encode(), message_id=f"good-{number}"))
        for number, text in enumerate(texts)
    ]


async def killed(site: Site, count: int, kills: Sequence[Kill], random: Random) -> None:
    """Send ``count`` messages, each twice and in any order, killing as it is told.

    The second copies of one half come among the others, those of the other half when everything is done: a message
    that was lost must not be found again in its copy. The same holds for the results.
    """
    firsts = good(site.topology, count)
    doubled = random.sample(firsts, count // 2)
    ids = {item.message.message_id for item in doubled}
    items = firsts + doubled
    random.shuffle(items)
    sent: set[str] = set()
    redelivering = 0
    async with site.running():
        sending: list[asyncio.Task[None]] = []
        for number, kill in enumerate(kills):
            redelivering += kill.victim in REDELIVERS
            if redelivering > _REDELIVERIES:
                await _all_closed(site, len(sent))
                redelivering = 1
            part = items[len(items) * number // len(kills) : len(items) * (number + 1) // len(kills)]
            sent |= {item.message.message_id for item in part}
            sending.append(asyncio.create_task(site.send(part)))
            await _strike(site, kill, len(sent))
        await asyncio.gather(*sending)
        await _all_closed(site, count)
        await site.send([item for item in firsts if item.message.message_id not in ids])
        await _all_well(site, count)


async def without_database(site: Site, count: int, database: PrivatePostgres, seconds: float) -> None:
    """Stop the database at work for so long: more messages come meanwhile, the API says so, and no process ends."""
    items = good(site.topology, count)
    early, late = items[: count // 2], items[count // 2 :]
    async with site.running():
        with served(site.folder, "--role", "api", **site.settings) as api:
            await site.send(early)
            counts = await site.until(lambda now: now.results >= len(early) // 4, "a quarter of the first answers")
            assert counts.closed < len(early), "the database was stopped too late to prove anything"
            await asyncio.to_thread(database.stop)
            await site.send(late)
            await _said(api, 503, "down")
            assert api.get("/health/live").status_code == 200
            await asyncio.sleep(seconds)
            await _said(api, 503, "down")
            await asyncio.to_thread(database.start)
            await _said(api, 200, "up")
            await _all_closed(site, count)
        await _all_well(site, count)
    assert site.starts == dict.fromkeys([*ROLES, *WORKERS], 1)


async def unserved(site: Site, count: int, turns: int) -> None:
    """Nobody serves the backend: first its queue is not even there, later its workers die with tasks in hand.

    Args:
        site: told ``ONE_CHANCE``.
        count: messages.
        turns: how many leases run out before somebody serves the backend again.
    """
    items = good(site.topology, count, timeout=3)
    early, late = items[: count // 2], items[count // 2 :]
    async with site.running(without=WORKERS):
        await site.forget(site.topology.task_queue("api", "mock"))
        await site.send(early)
        await _until_logged(site, "dispatch", "dispatched", "returned", 2 * len(early))
        for worker in WORKERS:
            site.start(worker)
        await _all_closed(site, len(early))
        await site.send(late)
        counts = await site.until(lambda now: now.results >= len(early) + len(late) // 10, "answers")
        for worker in WORKERS:
            site.end(worker)
        assert counts.closed < count - IN_FLIGHT, "the workers were killed too late to prove anything"
        await _until_logged(site, "expire", "leases_ran_out", "waits", turns * IN_FLIGHT)
        for worker in WORKERS:
            site.start(worker)
        await _all_closed(site, count)
        await _all_well(site, count)


async def slow(site: Site, count: int, lease: float) -> None:
    """All tasks are sent at once to a backend that needs many times the lease for them.

    Args:
        site: told ``ONE_CHANCE`` and ``slow_backend``.
        count: messages.
        lease: seconds.
    """
    async with site.running():
        await site.send(good(site.topology, count, timeout=lease))
        await _all_closed(site, count)
        await _all_well(site, count)
    waited = sum(line.get("waits", 0) for line in site.logged("expire", "leases_ran_out"))
    assert waited >= count, "the tasks were done before their leases ran out"


def slow_backend(count: int) -> dict[str, Any]:
    """Settings for a backend that is sent ``count`` tasks at once, and answers a hundred in a second."""
    return {
        "BACKENDS": f'{{"mock": {{"plugin": "mock", "max_in_flight": {count}}}}}',
        "BATCH_SIZE": 200,
        "WORKER_CONCURRENCY": 5,
        "WORKER_JITTER_MIN": 0.1,
        "WORKER_JITTER_MAX": 0.1,
    }


async def _strike(site: Site, kill: Kill, sent: int) -> None:
    """Kill at its moment, which is one with work on its way."""
    before = kill.done(await site.until(lambda _: True, "an answer"))
    goal = before + kill.moment * (sent - before)
    reached = await site.until(lambda now: kill.done(now) >= goal, f"{goal:.0f} done")
    assert reached.closed < sent, f"{kill.victim} was killed too late to prove anything"
    await site.kill(kill.victim)


async def _said(api: Served, code: int, database: str) -> None:
    """Wait until the API tells orchestrators and people the same of the database."""

    def says() -> bool:
        answer = api.get("/health/ready")
        return (answer.status_code, answer.json()["db"]["status"]) == (code, database)

    await asyncio.to_thread(eventually, says, f"{code}, and the database is {database}")


async def _until_logged(site: Site, part: str, event: str, field: str, total: int) -> None:
    """Wait until the numbers that a part tells in its log come to a total."""

    def enough(_: Counts) -> bool:
        return sum(line.get(field, 0) for line in site.logged(part, event)) >= total

    await site.until(enough, f"{total} {field} in {event}")


async def _all_closed(site: Site, count: int) -> None:
    await site.until(lambda now: now.closed >= count, f"{count} closed checks")


async def _all_well(site: Site, count: int) -> None:
    """When every result came a second time: nothing lost, nothing twice, nothing stuck, and every process ends well.

    The one dead letter that may be is an answered task whose ack was lost with each of several kills.
    """
    await site.until(lambda _: len(site.echo.heard) >= count, f"{count} results heard")
    await site.echo.send_kept()
    await site.drained()
    site.assert_ends_well()
    await site.assert_each_done_once(count)
    tasks = site.topology.task_queue("api", "mock")
    letters = [(queue, reason) for queue, reason, _ in await site.dead_letters()]
    assert [letter for letter in letters if letter != (tasks, DELIVERY_LIMIT)] == []
