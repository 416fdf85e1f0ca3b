"""The stations connected: what is in hand at a stop is finished, stored, and lost nowhere on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from checking_core.contracts import Answer, Ask, CheckStatus, DetectionTask
from checking_core.plugin import BaseWorker, Finding, NoSettings
from checking_core.settings import WorkerSettings
from checking_core.transport import Message
from checking_core.worker.loop import Worker
from checking_server.engine import Engine
from checking_server.flow.accept import Plans
from checking_server.roles import Role
from checking_server.settings import FlowSettings

from .conftest import Stations

Link = Callable[..., bytes]


class SlowSiem(BaseWorker):
    """Answers when it is allowed to."""

    platform = "siem"
    answers = frozenset({Ask.RULE})

    def __init__(self) -> None:
        super().__init__("siem", NoSettings())
        self.asked, self.allowed = asyncio.Event(), asyncio.Event()

    async def detect(self, task: DetectionTask) -> Finding:
        self.asked.set()
        await self.allowed.wait()
        return Finding(rule=Answer.YES)


async def test_what_a_worker_answers_after_the_stop_is_stored_before_the_end(stations: Stations, link: Link) -> None:
    """On the in-process transport it would be lost: nobody could take it from the queue any more."""
    siem, stop = SlowSiem(), asyncio.Event()
    worker = Worker(
        stations.transport, stations.topology, {"siem": siem}, WorkerSettings(jitter_min=0, jitter_max=0), drain=60
    )
    engine = Engine(
        store=stations.store,
        transports=dict.fromkeys(Role, stations.transport),
        topology=stations.topology,
        plans=Plans(stations.plan, stations.plan),
        settings=FlowSettings(),
        max_in_flight=lambda _: 200,
        worker=worker,
    )
    running = asyncio.create_task(engine.run(stop))
    await engine.accept([Message(body=link(), message_id="m1")])
    await siem.asked.wait()
    stop.set()
    for _ in range(50):  # every part that has nothing in hand ends meanwhile
        await asyncio.sleep(0)
    assert not (await stations.transport.state(stations.topology.instructions_queue)).consumers
    siem.allowed.set()
    await running
    assert [check["status"] for check in await stations.checks()] == [CheckStatus.COMPLETED]
