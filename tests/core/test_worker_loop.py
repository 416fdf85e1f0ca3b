"""The worker's loop: every task answered, acked only when its result has left, and nothing lost at the stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from checking_core.contracts import (
    Answer,
    DetectionResult,
    DetectionTask,
    Outcome,
    Reason,
    decode_result,
    encode,
)
from checking_core.errors import BrokerUnavailableError, ConfigurationError, PublishError
from checking_core.plugin import BaseWorker, Finding
from checking_core.settings import WorkerSettings
from checking_core.testing import FakeDetector, a_task, hang
from checking_core.transport import HEADER_REQUEST_ID, Delivery, Message, Outgoing, Subscription, Topology
from checking_core.transport.memory import MemoryTransport
from checking_core.worker.loop import Worker

TOPOLOGY = Topology()
TASKS = TOPOLOGY.task_queue("api", "mock")
FOUND = Finding(alert=Answer.YES)
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, concurrency=5)


class Bench:
    """A transport with queues of tasks, and whoever reads the results."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.stop = asyncio.Event()

    async def send(
        self,
        *tasks: DetectionTask | bytes,
        lane: tuple[str, str] = ("api", "mock"),
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish tasks to the lane of a backend, which is there even if nobody serves it yet."""
        await self.declare(*lane)
        key = TOPOLOGY.task_key(*lane)
        bodies = [task if isinstance(task, bytes) else encode(task) for task in tasks]
        messages = [Message(body=body, message_id=str(n), headers=headers or {}) for n, body in enumerate(bodies)]
        errors = await MemoryTransport.publish(self.transport, [Outgoing(key, message) for message in messages])
        assert not any(errors)

    async def declare(self, *lane: str) -> None:
        await (await self.transport.subscribe(TOPOLOGY.task_queue(*lane), prefetch=1)).stop()

    async def messages(self, count: int, queue: str = TOPOLOGY.api_responses_queue) -> list[Message]:
        """The next results as they travel."""
        reader = await self.transport.subscribe(queue, prefetch=count)
        found: list[Message] = []
        while len(found) < count:
            batch = await reader.batch(count - len(found), 0.0)
            await reader.ack(batch)
            found += [delivery.message for delivery in batch]
        await reader.stop()
        return found

    async def results(self, count: int, queue: str = TOPOLOGY.api_responses_queue) -> list[DetectionResult]:
        """The next results."""
        return [decode_result(message.body) for message in await self.messages(count, queue)]

    async def waiting(self) -> int:
        """Tasks that nobody has on loan."""
        return (await self.transport.state(TASKS)).waiting


@asynccontextmanager
async def serving(
    detectors: Mapping[str, BaseWorker] | BaseWorker, transport: MemoryTransport | None = None, **options: Any
) -> AsyncIterator[Bench]:
    """A worker that serves until the end of the block, then stops as told."""
    bench = Bench(transport or MemoryTransport(TOPOLOGY))
    await bench.transport.start()
    detectors = detectors if isinstance(detectors, Mapping) else {"mock": detectors}
    running = asyncio.create_task(Worker(bench.transport, TOPOLOGY, detectors, SETTINGS, **options).run(bench.stop))
    try:
        yield bench
    finally:
        bench.stop.set()
        await running
        await bench.transport.close()


class Gate:
    """A step of a script that is entered and then waits to be let through."""

    def __init__(self) -> None:
        self.entered = asyncio.Semaphore(0)
        self.open = asyncio.Event()

    async def __call__(self, _: DetectionTask) -> Finding:
        self.entered.release()
        await self.open.wait()
        return FOUND


async def test_every_task_is_answered_once():
    async with serving(FakeDetector()) as bench:
        await bench.send(*(a_task(number) for number in range(50)))
        results = await bench.results(50)
    assert {result.id for result in results} == {a_task(number).task_id for number in range(50)}
    assert await bench.waiting() == 0


async def test_a_result_bears_the_id_of_its_task_and_the_request_it_belongs_to():
    async with serving(FakeDetector()) as bench:
        await bench.send(a_task(), headers={HEADER_REQUEST_ID: "r-1", "x-delivery-count": "2"})
        (message,) = await bench.messages(1)
    assert (message.message_id, message.headers) == (str(a_task().task_id), {HEADER_REQUEST_ID: "r-1"})


async def test_every_line_that_a_detector_logs_can_be_traced():
    bound: dict[str, Any] = {}

    async def look(_: DetectionTask) -> Finding:
        bound.update(structlog.contextvars.get_contextvars())
        return FOUND

    async with serving(FakeDetector([look])) as bench:
        await bench.send(a_task(), headers={HEADER_REQUEST_ID: "r-1"})
        await bench.results(1)
    ids = {"task_id": str(a_task().task_id), "check_id": str(a_task().detection_execution_id)}
    assert bound == {"request_id": "r-1", **ids}
    assert structlog.contextvars.get_contextvars() == {}


async def test_a_slow_task_holds_up_no_other():
    gate = Gate()
    async with serving(FakeDetector([gate, FOUND])) as bench:
        await bench.send(*(a_task(number) for number in range(20)))
        assert a_task(0).task_id not in {result.id for result in await bench.results(19)}
        gate.open.set()
        assert (await bench.results(1))[0].id == a_task(0).task_id


@pytest.mark.parametrize(("tolerated", "taken"), [(None, SETTINGS.concurrency), (2, 2), (99, SETTINGS.concurrency)])
async def test_no_more_tasks_are_taken_than_may_run(tolerated: int | None, taken: int):
    """Neither more than the worker is allowed nor more than the product tolerates: what waits uses up its lease."""
    detector = type("Detector", (FakeDetector,), {"concurrency": tolerated})([gate := Gate()])
    async with serving(detector) as bench:
        await bench.send(*(a_task(number) for number in range(20)))
        for _ in range(taken):
            await gate.entered.acquire()
        assert await bench.waiting() == 20 - taken
        gate.open.set()
        await bench.results(20)


async def test_each_backend_is_served_by_its_own_detector():
    one, other = FakeDetector(), FakeDetector([Finding(alert=Answer.NO)])
    async with serving({"mock": one, "splunk": other}) as bench:
        await bench.send(a_task(1))
        await bench.send(a_task(2, backend="splunk"), lane=("api", "splunk"))
        results = await bench.results(2)
    assert {result.outcome for result in results} == {Outcome.ALERTED, Outcome.NO_ALERT}
    assert ([task.backend for task in one.asked], [task.backend for task in other.asked]) == (["mock"], ["splunk"])


async def test_tasks_of_an_agent_are_taken_for_this_host_and_answered_where_agents_answer():
    class Agent(FakeDetector):
        detection_types = frozenset({"windows", "linux"})

    async with serving({"sysmon": Agent()}, host="WS01") as bench:
        await bench.send(a_task(backend="sysmon", detection_type="windows"), lane=("windows", "sysmon", "ws01"))
        (result,) = await bench.results(1, TOPOLOGY.agent_responses_queue)
    assert result.outcome is Outcome.ALERTED


@pytest.mark.parametrize(
    ("strange", "queue"),
    [
        ({"backend": "elastic"}, TOPOLOGY.api_responses_queue),
        ({"detection_type": "linux"}, TOPOLOGY.agent_responses_queue),
    ],
)
async def test_a_task_that_nothing_here_serves_is_answered_as_unsupported(strange, queue):
    async with serving(FakeDetector()) as bench:
        await bench.send(a_task(**strange))
        (result,) = await bench.results(1, queue)
    assert result.reason is Reason.UNSUPPORTED_PLATFORM


async def test_a_malformed_task_goes_to_the_dead_letters_with_its_reason():
    async with serving(FakeDetector()) as bench:
        await bench.send(b'{"task_id": 1}', a_task())
        await bench.results(1)
    (dead,) = bench.transport.dead_letters
    assert "task_id" in dead.reason
    assert await bench.waiting() == 0


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), MemoryError()])
async def test_nothing_that_a_plugin_raises_ends_the_worker(error):
    async with serving(FakeDetector([error, FOUND])) as bench:
        await bench.send(a_task(1), a_task(2))
        results = await bench.results(2)
    assert {result.outcome for result in results} == {Outcome.INCONCLUSIVE, Outcome.ALERTED}


class Refusing(MemoryTransport):
    """Takes no result as long as it has refusals left."""

    def __init__(self, *refusals: BaseException) -> None:
        super().__init__(TOPOLOGY)
        self.refused = asyncio.Event()
        self._refusals = list(refusals)

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        if self._refusals:
            self.refused.set()
            refusal = self._refusals.pop(0)
            if isinstance(refusal, PublishError):
                return [refusal for _ in items]
            raise refusal
        return await super().publish(items)


@pytest.mark.parametrize("refusal", [PublishError("not confirmed"), BrokerUnavailableError("away")])
async def test_a_result_that_the_broker_did_not_take_is_offered_again_and_its_task_kept(refusal):
    transport = Refusing(refusal)
    detector = FakeDetector()
    async with serving(detector, transport) as bench:
        await bench.send(a_task())
        (result,) = await bench.results(1)
    assert transport.refused.is_set()
    assert (result.outcome, len(detector.asked)) == (Outcome.ALERTED, 1)
    assert await bench.waiting() == 0


class Interrupted:
    """A subscription whose broker is away once for each call."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._met: set[str] = set()

    def _away_once(self, call: str) -> None:
        if call not in self._met:
            self._met.add(call)
            raise BrokerUnavailableError("away")

    async def batch(self, limit: int, window: float) -> Sequence[Delivery]:
        self._away_once("batch")
        return await self._subscription.batch(limit, window)

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        await self._subscription.ack(deliveries)
        self._away_once("ack")

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        await self._subscription.give_back(deliveries)
        self._away_once("give_back")

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        self._away_once("dead_letter")
        await self._subscription.dead_letter(delivery, reason)

    async def stop(self) -> None:
        await self._subscription.stop()


class Flickering(MemoryTransport):
    """A broker that is away once for each thing that the worker does with the tasks."""

    def __init__(self) -> None:
        super().__init__(TOPOLOGY)
        self._refused = False

    async def subscribe(self, queue: str, *, prefetch: int) -> Any:
        subscription = await super().subscribe(queue, prefetch=prefetch)
        if queue != TASKS or prefetch == 1:
            return subscription
        if not self._refused:
            self._refused = True
            await subscription.stop()
            raise BrokerUnavailableError("away")
        return Interrupted(subscription)


async def test_a_broker_that_is_away_for_a_moment_costs_nothing():
    gate = Gate()
    async with serving(FakeDetector([FOUND, gate]), Flickering(), drain=0.01) as bench:
        await bench.send(b"{}", a_task(1), a_task(2))
        assert (await bench.results(1))[0].id == a_task(1).task_id
        await gate.entered.acquire()
    assert len(bench.transport.dead_letters) == 1
    assert await bench.waiting() == 1


class Undertakerless(Flickering):
    """A broker whose dead letters are away for good."""

    async def subscribe(self, queue: str, *, prefetch: int) -> Any:
        subscription = await MemoryTransport.subscribe(self, queue, prefetch=prefetch)
        return Unburiable(subscription) if queue == TASKS and prefetch > 1 else subscription


class Unburiable(Interrupted):
    """A subscription that cannot dead-letter."""

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        raise PublishError("not confirmed")


async def test_a_malformed_task_that_cannot_be_buried_before_the_stop_is_given_back():
    async with serving(FakeDetector(), Undertakerless()) as bench:
        await bench.send(a_task(), b"{}")
        await bench.results(1)
    assert await bench.waiting() == 1
    assert bench.transport.dead_letters == []


async def test_a_topology_without_the_queue_ends_the_worker_at_once():
    transport = MemoryTransport(Topology().prefixed("other."))
    await transport.start()
    with pytest.raises(ExceptionGroup) as raised:
        await Worker(transport, TOPOLOGY, {"mock": FakeDetector()}, SETTINGS).run(asyncio.Event())
    assert raised.group_contains(ConfigurationError)


async def test_at_the_stop_running_tasks_end_their_results_leave_and_nothing_more_is_taken():
    gate = Gate()
    async with serving(FakeDetector([gate])) as bench:
        await bench.send(*(a_task(number) for number in range(8)))
        for _ in range(SETTINGS.concurrency):
            await gate.entered.acquire()
        bench.stop.set()
        await asyncio.sleep(0)
        gate.open.set()
        results = await bench.results(SETTINGS.concurrency)
    assert len(results) == SETTINGS.concurrency
    assert await bench.waiting() == 3


async def test_what_does_not_end_in_time_is_given_back():
    gate = Gate()
    async with serving(FakeDetector([FOUND, hang, gate]), drain=0.01) as bench:
        await bench.send(a_task(1), a_task(2), a_task(3))
        await bench.results(1)
        await gate.entered.acquire()
    assert await bench.waiting() == 2
    assert bench.transport.dead_letters == []


async def test_a_result_that_cannot_leave_before_the_end_gives_its_task_back():
    transport = Refusing(*[BrokerUnavailableError("away")] * 1000)
    async with serving(FakeDetector(), transport, drain=0.01) as bench:
        await bench.send(a_task())
        await transport.refused.wait()
    assert await bench.waiting() == 1


async def test_detectors_are_closed_when_the_worker_ends():
    class Closing(FakeDetector):
        closed = 0

        async def close(self) -> None:
            self.closed += 1
            raise ValueError("a bug")

    detector = Closing()
    async with serving(detector):
        assert detector.closed == 0
    assert detector.closed == 1


async def test_a_worker_that_is_cancelled_ends_at_once_and_the_transport_gives_its_tasks_back():
    gate = Gate()
    bench = Bench(MemoryTransport(TOPOLOGY))
    await bench.transport.start()
    await bench.send(a_task())
    running = asyncio.create_task(
        Worker(bench.transport, TOPOLOGY, {"mock": FakeDetector([gate])}, SETTINGS).run(bench.stop)
    )
    await gate.entered.acquire()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await bench.transport.close()
    assert await bench.waiting() == 1
