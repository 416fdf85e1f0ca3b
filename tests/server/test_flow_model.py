"""The guarantees of the flow under any order of events: drops, repetitions, reordering, a crash between any two steps.

A state machine plays queue, worker, network and clock against the real stations, store and in-process transport.
Whatever it does: nothing is lost, nothing is stored twice, no verdict is taken back, no check stays open for ever.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from checking_core.contracts import Answer, CheckStatus, DetectionResult, DetectionTask, Outcome, Reason, encode
from checking_core.contracts import decode_task as read_task
from checking_core.errors import BrokerUnavailableError, PublishError
from checking_core.matching import upgrade
from checking_core.storage import Store, migrate
from checking_core.transport.base import Message, Outgoing
from checking_core.transport.memory import MemorySubscription, MemoryTransport
from checking_core.transport.topology import Topology
from checking_server.flow.retry import retry

from .conftest import SOMEBODY, Clock, Stations, hint

ANSWERS: dict[str, dict[str, Any]] = {
    "hit": {"rule": Answer.YES, "outcome": Outcome.MATCHED, "reason": Reason.MATCHED_RULE},
    "proven no": {"rule": Answer.NO, "outcome": Outcome.NO_ALERT},
    "not yet": {"rule": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "final": False},
}


def outlasts(before: Outcome, after: Outcome) -> bool:
    return upgrade.outlasts(before, None, after, None)


class FaultyTransport(MemoryTransport):
    """Fails the next publish, before or after the messages are in the queue: a confirm that is lost."""

    def __init__(self, topology: Topology) -> None:
        super().__init__(topology)
        self.fault: str | None = None

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        fault, self.fault = self.fault, None
        if fault == "refused":
            return [PublishError("not confirmed")] * len(items)
        if fault == "away":
            raise BrokerUnavailableError("the broker is away")
        outcomes = await super().publish(items)
        return [PublishError("the confirm was lost")] * len(items) if fault == "confirm lost" else outcomes


def _waits(queue: str) -> Any:
    """A step that needs a message in a queue is only taken when there is one."""
    return precondition(lambda flow: flow.waiting(getattr(flow.stations.topology, queue)))


class Flow(RuleBasedStateMachine):
    """Messages that were sent must all arrive at a verdict, once."""

    template: Path

    @initialize()
    def start(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        database = self.folder / "flow.db"
        shutil.copy(self.template, database)
        self.clock = Clock()
        self.store = Store(f"sqlite+aiosqlite:///{database}", clock=self.clock)
        self.stations = Stations(self.store, self.clock)
        self.transport = FaultyTransport(self.stations.topology)
        self.stations.transport = self.transport
        self.stations.dispatch = self.stations.dispatching(self.transport)
        self.stations.expire = self.stations.expiring(self.transport)
        self.lane = self.stations.topology.task_queue("api", "siem")
        self.sent: set[int] = set()
        self.seen: list[DetectionTask] = []
        self.closed: dict[Any, Any] = {}
        self.run(self.transport.start())
        self.connect()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def waiting(self, queue: str) -> int:
        found: int = self.run(self.transport.state(queue)).waiting
        return found

    def connect(self) -> None:
        """New consumers, as after a restart."""
        topology = self.stations.topology
        subscribe = self.transport.subscribe
        self.instructions = self.run(subscribe(topology.instructions_queue, prefetch=50))
        self.tasks = self.run(subscribe(self.lane, prefetch=50))
        self.responses = self.run(subscribe(topology.api_responses_queue, prefetch=50))

    # --- what may happen ---------------------------------------------------------------------------------------

    @rule(number=st.integers(1, 6), times=st.integers(1, 2))
    def the_red_team_reports(self, number: int, times: int) -> None:
        body = _link(number)
        key = self.stations.topology.execution_result_key
        self.run(self.transport.publish([Outgoing(key, Message(body=body, message_id=str(number)))] * times))
        self.sent.add(number)

    @_waits("instructions_queue")
    @rule(limit=st.integers(1, 4), crash=st.booleans())
    def accept(self, limit: int, crash: bool) -> None:
        self.run(self._feed(self.instructions, self.stations.accept, limit, crash))

    @rule(fault=st.sampled_from([None, "refused", "confirm lost", "away"]))
    def dispatch(self, fault: str | None) -> None:
        self.transport.fault = fault
        try:
            self.run(self.stations.dispatch())
        except BrokerUnavailableError:
            assert fault is not None
        self.transport.fault = None

    @precondition(lambda flow: flow.waiting(flow.lane))
    @rule(
        answer=st.sampled_from(sorted(ANSWERS)), limit=st.integers(1, 3), times=st.integers(1, 2), crash=st.booleans()
    )
    def a_worker_answers(self, answer: str, limit: int, times: int, crash: bool) -> None:
        self.run(self._work(answer, limit, times, crash))

    @precondition(lambda flow: flow.seen)
    @rule(answer=st.sampled_from(sorted(ANSWERS)), which=st.integers(0, 9))
    def a_task_is_answered_again(self, answer: str, which: int) -> None:
        """Late, or by a second worker, and perhaps not with the same words."""
        self.run(self._publish(self.seen[which % len(self.seen)], answer, 1))

    @_waits("api_responses_queue")
    @rule(limit=st.integers(1, 4), crash=st.booleans())
    def gather(self, limit: int, crash: bool) -> None:
        self.run(self._feed(self.responses, self.stations.gather, limit, crash))

    @rule(which=st.integers(0, 9))
    def a_person_asks_again(self, which: int) -> None:
        closed = [check["id"] for check in self.run(self.stations.checks()) if check["completed_at"]]
        if closed:
            self.run(retry(self.store, [closed[which % len(closed)]], SOMEBODY, on_due=lambda: None))

    @rule(seconds=st.sampled_from([1, 30, 400, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule()
    def expire(self) -> None:
        self.run(self.stations.expire())

    @rule()
    def everything_restarts(self) -> None:
        for subscription in (self.instructions, self.tasks, self.responses):
            self.run(subscription.abandon())
        self.connect()

    # --- what always holds -------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        if not hasattr(self, "stations"):
            return
        executions = self.run(self.stations.executions())
        assert len({row["link_id"] for row in executions}) == len(executions) <= len(self.sent)
        tasks = [row["task_id"] for row in self.run(self.stations.results()) if row["result_source"] == "mock"]
        assert len(set(tasks)) == len(tasks)

    @invariant()
    def no_verdict_of_a_worker_is_taken_back(self) -> None:
        """Unless a person asked again, and the answer says more; while that is open there is none."""
        if not hasattr(self, "stations"):
            return
        for check in self.run(self.stations.checks()):
            metadata, outcome = check["execution_metadata"], check["outcome"]
            if check["completed_at"] is None:
                continue
            if check["id"] in self.closed:
                before, asked = self.closed[check["id"]]
                assert outcome is before or (metadata.get("retried_at") != asked and not outlasts(before, outcome))
            if metadata.get("closed_by") == "worker":
                self.closed[check["id"]] = (outcome, metadata.get("retried_at"))

    def teardown(self) -> None:
        if not hasattr(self, "stations"):
            return
        try:
            self.run(self._come_to_rest())
            self._nothing_is_lost()
        finally:
            self.run(self.transport.close())
            self.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _come_to_rest(self) -> None:
        """From now on nothing goes wrong: everything that was sent has to end."""
        for _ in range(40):
            if await self._any(self.stations.topology.instructions_queue):
                await self._feed(self.instructions, self.stations.accept, 50, crash=False)
            await self.stations.expire()
            await self.stations.dispatch()
            if await self._any(self.lane):
                await self._work("hit", 50, 1, crash=False)
            if await self._any(self.stations.topology.api_responses_queue):
                await self._feed(self.responses, self.stations.gather, 50, crash=False)
            checks = await self.stations.checks()
            if len(checks) == len(self.sent) and all(check["completed_at"] for check in checks):
                return
            self.clock.move(400)

    async def _any(self, queue: str) -> bool:
        return (await self.transport.state(queue)).waiting > 0

    def _nothing_is_lost(self) -> None:
        executions, checks = self.run(self.stations.executions()), self.run(self.stations.checks())
        assert {row["link_id"].int & 0xFF for row in executions} == self.sent
        assert len(checks) == len(self.sent)
        assert all(check["status"] in (CheckStatus.COMPLETED, CheckStatus.FAILED) for check in checks)
        assert {row["detection_execution_id"] for row in self.run(self.stations.results())} == {
            check["id"] for check in checks
        }

    # --- how it happens ----------------------------------------------------------------------------------------

    async def _feed(self, subscription: MemorySubscription, station: Any, limit: int, crash: bool) -> None:
        """A consumer that dies between its station's commit and the ack, or does not."""
        deliveries = await subscription.batch(limit, 0)
        await station([delivery.message for delivery in deliveries])
        await (subscription.give_back(deliveries) if crash else subscription.ack(deliveries))

    async def _work(self, answer: str, limit: int, times: int, crash: bool) -> None:
        """A worker that publishes its result once or twice, and dies before the ack, or does not."""
        deliveries = await self.tasks.batch(limit, 0)
        for delivery in deliveries:
            task = read_task(delivery.message.body)
            self.seen.append(task)
            await self._publish(task, answer, times)
        await (self.tasks.give_back(deliveries) if crash else self.tasks.ack(deliveries))

    async def _publish(self, task: DetectionTask, answer: str, times: int) -> None:
        message = Message(body=encode(_result(task, answer)), message_id=str(task.task_id))
        await self.transport.publish([Outgoing(self.stations.topology.api_response_key, message)] * times)


def _link(number: int) -> bytes:
    execution = {
        "link_id": f"00000000-0000-4000-8000-{number:012x}",
        "agent_host": "ws01",
        "command": "whoami",
        "link_state": "SUCCESS",
        "collect": "2026-01-15T09:00:00Z",
        "finish": "2026-01-15T09:00:02Z",
        "detections": [hint()],
    }
    operation = {"operation_id": "10000000-0000-4000-8000-000000000001"}
    message = {"message_type": "link_result", "timestamp": "2026-01-15T09:00:03Z"}
    return msgspec.json.encode({**message, "operation": operation, "execution": execution})


def _result(task: DetectionTask, answer: str) -> DetectionResult:
    return DetectionResult(
        id=task.task_id,
        detection_execution_id=task.detection_execution_id,
        look=task.look,
        result_timestamp=task.created_at,
        result_source="mock",
        **ANSWERS[answer],
    )


def test_the_flow_loses_nothing_and_doubles_nothing_whatever_happens(tmp_path_factory: Any) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    template = tmp_path_factory.mktemp("flow") / "template.db"
    asyncio.run(migrate.upgrade(f"sqlite+aiosqlite:///{template}"))
    Flow.template = template
    state_machine = Flow.TestCase
    state_machine.settings = settings(max_examples=40, stateful_step_count=40, suppress_health_check=list(HealthCheck))
    try:
        state_machine("runTest").runTest()
    finally:
        structlog.reset_defaults()
