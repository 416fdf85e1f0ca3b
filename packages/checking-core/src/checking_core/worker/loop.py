"""The worker: tasks in, results out. A task is acked only when its result is in the broker's hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import structlog

from checking_core.contracts import DetectionTask, encode
from checking_core.plugin.base import BaseWorker
from checking_core.settings import WorkerSettings
from checking_core.transport.base import Delivery, Message, Outgoing, Transport
from checking_core.transport.topology import AGENT_TYPES, HEADER_REQUEST_ID, HEADER_TRACEPARENT, Topology
from checking_core.worker.lane import Answered, Lane, persist
from checking_core.worker.run_task import close_detector, run_task
from checking_core.worker.suspects import Suspects
from checking_core.worker.watchdog import Watchdog

__all__ = ["Worker"]

log = structlog.get_logger(__name__)

_CLOSE_WITHIN = 5.0


class Worker:
    """Serves backends until it is told to stop. Nothing a plugin does ends it.

    Args:
        transport: started.
        topology: names of queues and keys.
        detectors: by backend; closed when the worker ends.
        settings: looks at a time for each queue, jitter, retries.
        host: name of this host, for detectors of agent types; without it they take tasks for any host.
        drain: seconds that running looks have after the stop.
        watchdog: is told what is under way.
    """

    def __init__(
        self,
        transport: Transport,
        topology: Topology,
        detectors: Mapping[str, BaseWorker],
        settings: WorkerSettings,
        *,
        host: str | None = None,
        drain: float = 30.0,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._transport = transport
        self._topology = topology
        self._detectors = dict(detectors)
        self._settings = settings
        self._host = host
        self._drain = drain
        self._watchdog = watchdog
        self._suspects = Suspects()
        self._unserved: set[str] = set()
        self.serving = asyncio.Event()
        """Set once every queue has its consumer: what is sent from then on finds one."""

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set; then finish what runs, publish it, and give the rest back.

        Cancelled, it ends at once; what it had on loan goes back when the transport is closed.
        """
        queues = self._queues()
        log.info("worker_started", backends=sorted(self._detectors), queues=sorted(queues))
        self._unserved = set(queues)
        self._served(None)
        try:
            async with asyncio.TaskGroup() as group:
                for queue, room in sorted(queues.items()):
                    group.create_task(self._serve(queue, room, stop))
        finally:
            for detector in self._detectors.values():
                await close_detector(detector, within=_CLOSE_WITHIN)
        log.info("worker_stopped")

    def _queues(self) -> dict[str, int]:
        """The queues to serve, and how many of its tasks can run at a time: what waits here uses up its lease."""
        most = self._settings.concurrency
        room: Counter[str] = Counter()
        for backend, detector in self._detectors.items():
            for kind in detector.detection_types:
                queue = self._topology.task_queue(kind, backend, self._host if kind in AGENT_TYPES else None)
                room[queue] += detector.concurrency or most
        return {queue: min(tasks, most) for queue, tasks in room.items()}

    async def _serve(self, queue: str, room: int, stop: asyncio.Event) -> None:
        subscription = await persist(lambda: self._transport.subscribe(queue, prefetch=room), stop)
        if subscription is not None:
            self._served(queue)
            lane = Lane(subscription, self._transport, self._answer, room, self._suspects)
            await lane.serve(stop, drain=self._drain)

    def _served(self, queue: str | None) -> None:
        self._unserved.discard(queue or "")
        if not self._unserved:
            self.serving.set()

    async def _answer(self, delivery: Delivery, task: DetectionTask) -> Answered:
        """Run one task to its message. Binds the ids for every log line of this asyncio task."""
        headers = _passed_on(delivery.message)
        structlog.contextvars.bind_contextvars(
            request_id=headers.get(HEADER_REQUEST_ID),
            task_id=str(task.task_id),
            check_id=str(task.detection_execution_id),
        )
        result = await run_task(self._detector_of(task), task, self._settings, watchdog=self._watchdog)
        log.debug("look_answered", outcome=result.outcome, reason=result.reason, final=result.final)
        message = Message(body=encode(result), message_id=str(task.task_id), headers=headers)
        return Answered(delivery, Outgoing(self._topology.response_key(task.detection_type), message))

    def _detector_of(self, task: DetectionTask) -> BaseWorker | None:
        detector = self._detectors.get(task.backend or task.detection_platform)
        return detector if detector is not None and task.detection_type in detector.detection_types else None


def _passed_on(message: Message) -> dict[str, str]:
    """The headers that name the request a result belongs to."""
    names = (HEADER_REQUEST_ID, HEADER_TRACEPARENT)
    return {name: message.headers[name] for name in names if name in message.headers}
