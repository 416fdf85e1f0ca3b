"""Many long fault runs: any process is killed, broker and database included; then long outages and a slow backend.

    python -m tests.acceptance.fault_runs

``CHECKING_FAULTS_RUNS``, ``_MESSAGES`` and ``_KILLS`` say how many. Each run prints its seed: ``CHECKING_FAULTS_SEED``
draws the same kills and the same order of messages again.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.services import PrivateBroker, PrivatePostgres, fresh_database

from checking_core import log
from checking_core.log import LogFormat

from .faults import ONE_CHANCE, Kill, killed, slow, slow_backend, unserved, without_database
from .site import ROLES, WORKERS, Site

ANYTHING = (*ROLES, *WORKERS, "broker", "database")
OUTAGE = 3.0
"""Seconds that a killed database is away."""


def told(name: str, otherwise: int) -> int:
    """A number of the environment."""
    return int(os.environ.get(f"CHECKING_FAULTS_{name}") or otherwise)


def main() -> None:
    """Run as often as the environment says, then the proofs that kill nobody; the first failure ends it."""
    first = told("SEED", secrets.randbelow(2**32))
    log.configure("ERROR", LogFormat.CONSOLE)
    with closing(PrivatePostgres(durable=True)) as database, closing(PrivateBroker()) as broker:
        database.start()
        broker.start()
        for seed in range(first, first + told("RUNS", 20)):
            kill_anything(database, broker, seed)
        stop_the_database(database, broker)
        serve_nobody(database, broker)
        answer_slowly(database, broker)


def kill_anything(database: PrivatePostgres, broker: PrivateBroker, seed: int) -> None:
    """Kill any process, drawn from the seed."""

    def cut_database() -> None:
        database.kill()
        time.sleep(OUTAGE)
        database.start()

    messages, random = told("MESSAGES", 10_000), Random(seed)
    kills = draw(told("KILLS", 12), random)
    services = {"broker": broker.restart, "database": cut_database}
    what = f"seed {seed}: {messages} messages; kills {', '.join(kill.victim for kill in kills)}"
    with proved(what), site(database, broker, services=services, **QUICKER) as ours:
        asyncio.run(killed(ours, messages, kills, random))
        print(f"  starts: {', '.join(f'{part} {number}' for part, number in ours.starts.items())}", flush=True)


def stop_the_database(database: PrivatePostgres, broker: PrivateBroker) -> None:
    """Stop it for as long as a restart of its host takes."""
    with proved("the database is stopped for 20 s"), site(database, broker) as ours:
        asyncio.run(without_database(ours, 2000, database, seconds=20))


def serve_nobody(database: PrivatePostgres, broker: PrivateBroker) -> None:
    """Leave a backend alone for twelve leases."""
    with proved("nobody serves the backend"), site(database, broker, **ONE_CHANCE) as ours:
        asyncio.run(unserved(ours, 2000, turns=12))  # within the patience of a site that stands still


def answer_slowly(database: PrivatePostgres, broker: PrivateBroker) -> None:
    """Keep many tasks waiting for many leases."""
    tasks = told("MESSAGES", 10_000)
    with (
        proved(f"a slow backend has {tasks} tasks"),
        site(database, broker, **ONE_CHANCE, **slow_backend(tasks)) as ours,
    ):
        asyncio.run(slow(ours, tasks, lease=5))


@contextmanager
def proved(what: str) -> Iterator[None]:
    """Tell what is done, and that it went well."""
    print(what, flush=True)
    begin = time.monotonic()
    yield
    print(f"  each done once, in {time.monotonic() - begin:.0f} s", flush=True)


@contextmanager
def site(database: PrivatePostgres, broker: PrivateBroker, **settings: Any) -> Iterator[Site]:
    """A site with a database and queues of its own, and with logs that stay when it fails."""
    folder = Path(tempfile.mkdtemp(prefix="checking-faults-"))
    with fresh_database(database.url) as url:
        try:
            yield Site(folder, url, broker.url, **settings)
        except BaseException:
            print(f"  failed; logs: {folder}", flush=True)
            raise
    shutil.rmtree(folder)


def draw(count: int, random: Random) -> list[Kill]:
    """Each victim once, in any order, then whichever."""
    victims = random.sample(ANYTHING, len(ANYTHING)) + random.choices(ANYTHING, k=count)
    return [Kill(victim, random.uniform(0.05, 0.5)) for victim in victims[:count]]


QUICKER = {
    "BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 300}}',
    "BATCH_SIZE": 100,
    "WORKER_CONCURRENCY": 100,
    "LOG_LEVEL": "WARNING",
}

if __name__ == "__main__":
    main()
