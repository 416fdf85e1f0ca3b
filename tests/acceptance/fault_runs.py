"""Many long fault runs: any process is killed, broker and database included.

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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random

from tests.services import PrivateBroker, PrivatePostgres, fresh_database

from checking_core import log
from checking_core.log import LogFormat

from .faults import ROLES, WORKERS, Kill, Site, run

ANYTHING = (*ROLES, *WORKERS, "broker", "database")
OUTAGE = 3.0
"""Seconds that a killed database is away."""


def told(name: str, otherwise: int) -> int:
    """A number of the environment."""
    return int(os.environ.get(f"CHECKING_FAULTS_{name}") or otherwise)


def main() -> None:
    """Run as often as the environment says; the first failure ends it."""
    runs, messages, kills = told("RUNS", 20), told("MESSAGES", 10_000), told("KILLS", 12)
    first = told("SEED", secrets.randbelow(2**32))
    log.configure("ERROR", LogFormat.CONSOLE)
    with closing(PrivatePostgres(durable=True)) as database, closing(PrivateBroker()) as broker:
        database.start()
        broker.start()
        for seed in range(first, first + runs):
            random = Random(seed)
            drawn = draw(kills, random)
            print(f"seed {seed}: {messages} messages; kills {', '.join(kill.victim for kill in drawn)}", flush=True)
            begin = time.monotonic()
            starts = run_once(database, broker, messages, drawn, random)
            told_starts = ", ".join(f"{part} {number}" for part, number in starts.items())
            print(f"  each done once, in {time.monotonic() - begin:.0f} s; starts: {told_starts}", flush=True)


def draw(count: int, random: Random) -> list[Kill]:
    """Each victim once, in any order, then whichever."""
    victims = random.sample(ANYTHING, len(ANYTHING)) + random.choices(ANYTHING, k=count)
    return [Kill(victim, random.uniform(0.05, 0.5)) for victim in victims[:count]]


def run_once(
    database: PrivatePostgres, broker: PrivateBroker, messages: int, kills: Sequence[Kill], random: Random
) -> Counter[str]:
    """One run on an empty database and queues of its own; how often each part was started."""

    def cut_database() -> None:
        database.kill()
        time.sleep(OUTAGE)
        database.start()

    async def work(folder: Path, url: str) -> Counter[str]:
        site = Site(folder, url, broker.url, services={"broker": broker.restart, "database": cut_database}, **QUICKER)
        async with site.running():
            await run(site, messages, kills, random)
        return site.starts

    with fresh_database(database.url) as url, logs() as folder:
        return asyncio.run(work(folder, url))


@contextmanager
def logs() -> Iterator[Path]:
    """A folder for one run, which is there to be read when it has failed."""
    folder = Path(tempfile.mkdtemp(prefix="checking-faults-"))
    try:
        yield folder
    except BaseException:
        print(f"  failed; logs: {folder}", flush=True)
        raise
    shutil.rmtree(folder)


QUICKER = {
    "BACKENDS": '{"mock": {"plugin": "mock", "max_in_flight": 300}}',
    "BATCH_SIZE": 100,
    "WORKER_CONCURRENCY": 100,
    "LOG_LEVEL": "WARNING",
}

if __name__ == "__main__":
    main()
