"""The timer: a lost worker costs a bounded number of tries, and a task that only waits costs none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from checking_core.contracts import Answer, CheckStatus, DetectionTask, Outcome, Reason, decode_task, encode
from checking_core.errors import BrokerUnavailableError
from checking_core.transport.base import Message, Outgoing, QueueState, Subscription
from checking_core.transport.memory import MemoryTransport
from checking_server.flow.gather import Gathered
from checking_server.flow.lanes import Place, places

from .conftest import Stations, an_answer, hint, not_yet, taken

Link = Callable[..., bytes]
A_LEASE = 3600.0
"""Seconds: more than any lease of these tests, less than a day."""


async def dispatched(stations: Stations, link: Link, count: int = 1, **execution: Any) -> Subscription:
    """Checks of one backend that were sent, all due at different times, and the worker that serves it."""
    worker = await stations.serve("siem")
    for number in range(count):
        await stations.accepts(link(number, **execution))
        await stations.dispatch()
        stations.clock.move(1)
    return worker


async def passes(stations: Stations, seconds: float = A_LEASE) -> int:
    """Time, and the timer after it; how many checks it changed."""
    stations.clock.move(seconds)
    return await stations.expire()


async def statuses(stations: Stations) -> list[tuple[Any, int]]:
    checks = sorted(await stations.checks(), key=lambda check: check["available_at"])
    return [(check["status"], check["dispatches"]) for check in checks]


async def test_a_lease_that_has_not_run_out_is_left_alone(stations: Stations, link: Link) -> None:
    await taken(await dispatched(stations, link))
    before = await stations.checks()
    assert await passes(stations, 60) == 0
    assert await stations.checks() == before


async def test_a_task_that_is_lost_is_sent_again_under_its_id_after_two_leases(stations: Stations, link: Link) -> None:
    """The first one ends with the task out of its queue: its worker may have begun just then."""
    worker = await dispatched(stations, link)
    (first,) = await taken(worker)
    assert await passes(stations) == 1
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]
    assert await passes(stations) == 1
    assert stations.woken
    await stations.dispatch()
    (second,) = await taken(worker)
    assert second.task_id == first.task_id
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 2)]


async def test_a_worker_that_never_answers_is_lost_after_a_bounded_number_of_tries(
    stations: Stations, link: Link
) -> None:
    worker = await dispatched(stations, link)
    for _ in range(2):
        await taken(worker)
        await passes(stations)
        await passes(stations)
        await stations.dispatch()
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    assert (result["reason"], result["result_source"]) == (Reason.WORKER_LOST, "engine")
    assert await passes(stations) == 0


async def test_a_task_that_waits_behind_others_is_never_lost(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link, count=3)
    for _ in range(20):
        assert await passes(stations) == 3
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)] * 3
    await stations.gathers(*(an_answer(task) for task in await taken(worker)))
    assert [status for status, _ in await statuses(stations)] == [CheckStatus.COMPLETED] * 3


async def test_a_task_that_is_lost_is_found_while_its_queue_is_never_empty(stations: Stations, link: Link) -> None:
    """Those that wait are those that were sent last; the first of three can not be one of the two."""
    worker = await dispatched(stations, link, count=3)
    (gone,) = await worker.batch(1, 0)
    await worker.ack([gone])
    await passes(stations)
    await passes(stations)
    assert await statuses(stations) == [
        (CheckStatus.DISPATCHED, 1),
        (CheckStatus.DISPATCHED, 1),
        (CheckStatus.PENDING, 1),
    ]
    (again,) = [check for check in await stations.checks() if check["status"] is CheckStatus.PENDING]
    assert again["task_id"] == decode_task(gone.message.body).task_id


async def test_a_task_whose_answer_may_wait_for_gather_is_never_lost(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link)
    (task,) = await taken(worker)
    answer = Message(body=encode(an_answer(task)), message_id="answer")
    await stations.transport.publish([Outgoing(stations.topology.response_key("api"), answer)])
    for _ in range(20):
        await passes(stations)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]
    (delivery,) = await (await stations.transport.subscribe(stations.topology.api_responses_queue, prefetch=1)).batch(
        1, 0
    )
    await stations.gather([delivery.message])
    assert [row["result_source"] for row in await stations.results()] == ["mock"]


async def test_a_task_waits_for_a_worker_that_is_away(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link, detections=[hint(deadline=30 * 86_400)])
    await worker.stop()
    for _ in range(20):
        await passes(stations)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]
    (task,) = await taken(await stations.serve("siem"))
    await stations.gathers(an_answer(task))
    assert await statuses(stations) == [(CheckStatus.COMPLETED, 1)]


async def unserved(stations: Stations, link: Link) -> None:
    """The worker leaves for good, long before the deadline has passed."""
    await (await dispatched(stations, link)).stop()
    await passes(stations, 599)


async def test_a_backend_that_nobody_serves_any_more_is_unsupported_at_last(stations: Stations, link: Link) -> None:
    await unserved(stations, link)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]
    assert await passes(stations, 899) == 1
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)], "not yet nobody for the whole of its patience"
    assert await passes(stations, 1) == 1
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    assert (result["reason"], result["result_source"]) == (Reason.UNSUPPORTED_PLATFORM, "engine")


async def test_a_backend_that_is_served_in_between_is_waited_for_anew(stations: Stations, link: Link) -> None:
    await unserved(stations, link)
    worker = await stations.serve("siem")
    await passes(stations, 600)
    await worker.stop()
    await passes(stations, 400)
    await passes(stations, 400)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]


async def test_a_broker_that_was_away_says_nothing_about_who_serves(stations: Stations, link: Link) -> None:
    class Away(MemoryTransport):
        async def state(self, queue: str) -> QueueState:
            if self.away:
                raise BrokerUnavailableError("the broker is away")
            return await stations.transport.state(queue)

        away = False

    transport = Away()
    stations.expire = stations.expiring(transport)
    await unserved(stations, link)
    transport.away = True
    with pytest.raises(BrokerUnavailableError):
        await passes(stations, 3600)
    transport.away = False
    await passes(stations, 1)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]


async def test_what_waits_for_room_on_a_backend_that_nobody_serves_is_closed_too(
    stations: Stations, link: Link
) -> None:
    await (await stations.serve("siem")).stop()
    await stations.accepts(*(link(number) for number in range(8)))
    await stations.dispatch()
    for _ in range(3):
        await passes(stations)
    for _ in range(3):
        await stations.dispatch()
        await stations.expire()
    assert {status for status, _ in await statuses(stations)} == {CheckStatus.FAILED}
    assert len(await stations.results()) == 8


async def test_an_answer_of_a_worker_that_counted_as_lost_supersedes(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link)
    for _ in range(2):
        (task,) = await taken(worker)
        await passes(stations)
        await passes(stations)
        await stations.dispatch()
    await superseded(stations, task)


async def test_an_answer_of_a_backend_that_nobody_served_supersedes(stations: Stations, link: Link) -> None:
    await unserved(stations, link)
    await passes(stations, 900)
    (task,) = await taken(await stations.serve("siem"))
    await superseded(stations, task)


async def test_the_answer_that_supersedes_is_the_newer_one_whatever_the_clock_says(
    stations: Stations, link: Link
) -> None:
    """The transaction that closed the check may have begun later than the one that waited for it."""
    await unserved(stations, link)
    await passes(stations, 900)
    (task,) = await taken(await stations.serve("siem"))
    stations.clock.move(-5)
    await stations.gathers(an_answer(task))
    async with stations.store.read() as uow:
        (current,) = await uow.results.current_of_operation(task.operation_id)
    assert (current["outcome"], current["alert"]) == (Outcome.ALERTED, Answer.YES)


async def superseded(stations: Stations, task: DetectionTask) -> None:
    (closed,) = await stations.checks()
    assert (closed["status"], closed["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    stations.clock.move(1)
    await stations.gathers(an_answer(task), an_answer(task))
    (check,), results = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.ALERTED)
    assert [row["result_source"] for row in sorted(results, key=lambda row: row["created_at"])] == ["engine", "mock"]


async def test_what_a_look_saw_outlives_the_worker_of_the_next(stations: Stations, link: Link) -> None:
    """A rule had matched; whether there is an alert was still open."""
    worker = await dispatched(stations, link)
    (task,) = await taken(worker)
    matched = {"alert": Answer.UNKNOWN, "rule": Answer.YES, "outcome": Outcome.MATCHED, "final": False}
    await stations.gathers(replace(an_answer(task), **matched))
    for _ in range(2):
        stations.clock.move(A_LEASE)
        await stations.dispatch()
        (task,) = await taken(worker)
        await passes(stations)
        await passes(stations)
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.MATCHED)
    assert result["outcome"] == Outcome.MATCHED
    assert await stations.gathers(an_answer(task)) == [Gathered.CLOSED], "a genuine answer still supersedes"
    assert (await stations.checks())[0]["outcome"] is Outcome.ALERTED


async def test_a_look_that_was_sent_twice_may_have_begun_when_it_was_sent_first(stations: Stations, link: Link) -> None:
    """The first worker began before the deadline and answers long after it: its no proves nothing."""
    worker = await dispatched(stations, link)
    (early,) = await taken(worker)
    await passes(stations)
    await passes(stations)
    await stations.dispatch()
    (late,) = await taken(worker)
    assert (early.deadline_passed, late.deadline_passed) == (False, True)
    assert await stations.gathers(not_yet(early)) == [Gathered.LOOK_AGAIN]
    await stations.dispatch()
    (last,) = await taken(worker)
    assert await stations.gathers(not_yet(last)) == [Gathered.CLOSED], "one look more is owed, not a second one"


async def test_what_was_noted_of_one_look_means_nothing_for_the_next(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link, detections=[hint(deadline=30 * 86_400)])
    (task,) = await taken(worker)
    await passes(stations)
    await stations.gathers(not_yet(task))
    stations.clock.move(A_LEASE)
    await stations.dispatch()
    await taken(worker)
    await passes(stations)
    assert await statuses(stations) == [(CheckStatus.DISPATCHED, 1)]


async def test_two_timers_send_a_lost_task_once(stations: Stations, link: Link) -> None:
    worker = await dispatched(stations, link)
    await taken(worker)
    other = stations.expiring(stations.transport)
    await passes(stations)
    assert await other() == 0
    stations.clock.move(A_LEASE)
    assert await other() + await stations.expire() == 1


async def test_the_tasks_of_a_backend_that_is_far_too_slow_are_each_sent_once(stations: Stations, link: Link) -> None:
    """They wait for many leases, then for one that takes them one by one, each for nearly the whole of its lease."""
    worker = await dispatched(stations, link, count=3)
    for number in range(3, 23):
        await stations.accepts(link(number))
        (delivery,) = await worker.batch(1, 0)
        await passes(stations, 200)
        await passes(stations, 200)
        await stations.gathers(an_answer(decode_task(delivery.message.body)))
        await worker.ack([delivery])
        await stations.dispatch()
    assert {dispatches for _, dispatches in await statuses(stations)} == {1}
    assert [row["result_source"] for row in await stations.results()] == ["mock"] * 20


def test_the_place_of_a_task_is_among_those_of_its_own_queue() -> None:
    rows = [{"id": n, "queue": "a" if n % 2 else "b", "available_at": n // 2} for n in range(8)]
    assert places(rows, lambda row: row["queue"]) == {
        n: Place("a" if n % 2 else "b", later=3 - n // 2) for n in range(8)
    }


def test_tasks_that_were_due_together_may_be_in_any_order() -> None:
    rows = [{"id": n, "available_at": 7} for n in range(4)]
    assert {place.later for place in places(rows, lambda _: "q").values()} == {0}


@pytest.mark.parametrize(("waiting", "may"), [(0, False), (2, False), (3, True)])
def test_a_queue_holds_the_tasks_that_were_sent_last(waiting: int, may: bool) -> None:
    assert Place("q", later=2).may_wait(QueueState(waiting=waiting, consumers=1)) is may
