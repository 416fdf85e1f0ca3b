"""Station 2: due checks leave once, within limits, and come back when their task did not leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from checking_core.contracts import MAX_BODY, CheckStatus, Outcome, Reason, decode_task
from checking_core.errors import BrokerUnavailableError, PublishError, UnroutableError
from checking_core.transport.base import Outgoing
from checking_core.transport.memory import MemoryTransport

from .conftest import Stations, an_answer, hint, not_yet, taken

Link = Callable[..., bytes]


async def test_a_due_check_becomes_one_task_that_carries_everything(stations: Stations, link: Link) -> None:
    worker = await stations.serve("siem")
    await stations.accepts(link())
    assert await stations.dispatch() == 1
    (task,), (check,) = await taken(worker), await stations.checks()
    assert (task.task_id, task.detection_execution_id, task.backend) == (check["task_id"], check["id"], "siem")
    assert (task.execution_context.agent_host, task.execution_context.command) == ("ws01", "whoami")
    assert (task.look, task.deadline_passed, task.deadline) == (1, False, check["deadline"])
    assert task.metadata.target_queue == stations.topology.task_queue("api", "siem")
    assert (check["status"], check["dispatches"]) == (CheckStatus.DISPATCHED, 1)
    assert check["lease_until"] > stations.clock.now
    assert await stations.dispatch() == 0, "a dispatched check is not dispatched again"


async def test_the_task_of_the_largest_message_can_be_read(stations: Stations, link: Link) -> None:
    worker = await stations.serve("siem")
    room = (MAX_BODY - len(link(plaintext_command=""))) // 2
    body = link(command="x" * room, plaintext_command="y" * room)
    assert MAX_BODY - 10 < len(body) <= MAX_BODY
    await stations.accepts(body)
    await stations.dispatch()
    (task,) = await taken(worker)
    assert task.execution_context.command == "x" * room


async def test_a_check_is_dispatched_before_its_task_can_be_answered(stations: Stations, link: Link) -> None:
    """Commit comes before publish: whoever sees the task finds the check dispatched."""
    worker = await stations.serve("siem")
    await stations.accepts(link())
    dispatching = asyncio.create_task(stations.dispatch())
    await worker.batch(1, 0)
    (check,) = await stations.checks()
    assert check["status"] is CheckStatus.DISPATCHED
    await dispatching


async def test_a_check_that_falls_due_after_an_empty_look_is_not_slept_over(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.accepts(link(detections=[hint(settle=60)]))
    assert await stations.dispatch() == 0
    assert await stations.dispatch.idle_seconds() == 60
    stations.clock.move(61)
    assert await stations.dispatch.idle_seconds() == 0


async def test_a_check_waits_until_it_has_settled(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.accepts(link(detections=[hint(settle=60)]))
    assert await stations.dispatch() == 0
    stations.clock.move(60)
    assert await stations.dispatch() == 1


async def test_no_more_checks_of_a_backend_are_in_flight_than_it_allows(stations: Stations, link: Link) -> None:
    worker = await stations.serve("siem")
    await stations.accepts(*(link(number) for number in range(5)))
    assert await stations.dispatch() == 3
    assert await stations.dispatch() == 0
    assert len(await taken(worker)) == 3


async def test_a_slow_backend_holds_nobody_up(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.serve("edr")
    await stations.accepts(*(link(number) for number in range(5)), link(9, detections=[hint("edr")]))
    assert await stations.dispatch() == 4


async def test_a_task_that_nobody_takes_comes_back_with_a_back_off(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    assert await stations.dispatch() == 1
    (check,) = await stations.checks()
    assert (check["status"], check["lease_until"]) == (CheckStatus.PENDING, None)
    assert check["available_at"] > stations.clock.now
    assert "routing key" in check["execution_metadata"]["returned"]


async def test_a_backend_that_nobody_served_until_the_deadline_is_unsupported(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    stations.clock.move(899)
    await stations.dispatch()
    assert (await stations.checks())[0]["status"] is CheckStatus.PENDING
    stations.clock.move(60)
    await stations.dispatch()
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    assert result["reason"] == Reason.UNSUPPORTED_PLATFORM


async def test_a_check_that_could_not_be_sent_was_not_dispatched(stations: Stations, link: Link) -> None:
    """A broker that is away for an hour uses up no try of the worker's."""
    await stations.accepts(link())
    for _ in range(5):
        stations.clock.move(60)
        await stations.dispatch()
    (check,) = await stations.checks()
    assert (check["status"], check["dispatches"]) == (CheckStatus.PENDING, 0)


async def test_a_lane_that_is_missing_is_tried_more_and_more_rarely(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    waits = []
    for _ in range(8):
        await stations.dispatch()
        (check,) = await stations.checks()
        waits.append((check["available_at"] - stations.clock.now).total_seconds())
        stations.clock.now = check["available_at"]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_a_broker_that_takes_nothing_stops_the_claims(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.accepts(link())
    await stations.transport.close()
    with pytest.raises(BrokerUnavailableError, match="took none of 1 tasks"):
        await stations.dispatch()
    (check,) = await stations.checks()
    assert (check["status"], check["dispatches"]) == (CheckStatus.PENDING, 0)


async def test_an_answer_that_was_faster_than_the_bad_news_stands(stations: Stations, link: Link) -> None:
    """The broker had the task, its confirm was lost, and the worker was quick."""

    class Slow(MemoryTransport):
        async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
            await stations.gathers(*(an_answer(decode_task(item.message.body)) for item in items))
            return [UnroutableError("nobody serves it")] * len(items)

    await stations.accepts(link())
    stations.clock.move(4000)
    await stations.dispatching(Slow())()
    (check,), results = await stations.checks(), await stations.results()
    assert (check["outcome"], len(results)) == (Outcome.ALERTED, 1)


async def test_bad_news_of_one_look_changes_nothing_of_the_next(stations: Stations, link: Link) -> None:
    """The worker was quick, had nothing to tell yet, and another dispatcher has sent the next look already."""
    worker = await stations.serve("siem")

    class Slow(MemoryTransport):
        async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
            await stations.gathers(*(not_yet(decode_task(item.message.body)) for item in items))
            stations.clock.move(60)
            await stations.dispatch()
            return [UnroutableError("nobody serves it")] * len(items)

    await stations.accepts(link())
    await stations.dispatching(Slow())()
    (check,), (task,) = await stations.checks(), await taken(worker)
    assert (check["status"], check["look"], check["task_id"]) == (CheckStatus.DISPATCHED, 2, task.task_id)


async def test_dispatchers_together_send_no_more_than_one_alone(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.accepts(*(link(number) for number in range(20)))
    several = [stations.dispatching(stations.transport) for _ in range(6)]
    assert sum(await asyncio.gather(*(dispatch() for dispatch in several))) == 3
    queue = stations.topology.task_queue("api", "siem")
    assert (await stations.transport.state(queue)).waiting == 3
