"""Stations 2 and the timer: due checks leave once, within limits; a lost worker costs a bounded number of tries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from checking_core.contracts import CheckStatus, Outcome, Reason

from .conftest import Stations, hint, taken

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


async def test_a_check_is_dispatched_before_its_task_can_be_answered(stations: Stations, link: Link) -> None:
    """Commit comes before publish: whoever sees the task finds the check dispatched."""
    worker = await stations.serve("siem")
    await stations.accepts(link())
    dispatching = asyncio.create_task(stations.dispatch())
    await worker.batch(1, 0)
    (check,) = await stations.checks()
    assert check["status"] is CheckStatus.DISPATCHED
    await dispatching


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


async def test_a_lease_that_ran_out_is_sent_again_under_the_same_task_id(stations: Stations, link: Link) -> None:
    worker = await stations.serve("siem")
    await stations.accepts(link())
    await stations.dispatch()
    (first,) = await taken(worker)
    assert await stations.expire() == 0
    stations.clock.move(3600)
    assert await stations.expire() == 1
    await stations.dispatch()
    (second,) = await taken(worker)
    assert second.task_id == first.task_id


async def test_a_worker_that_never_answers_counts_as_lost_after_a_bounded_number_of_tries(
    stations: Stations, link: Link
) -> None:
    await stations.serve("siem")
    await stations.accepts(link())
    for _ in range(2):
        await stations.dispatch()
        stations.clock.move(3600)
        await stations.expire()
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.FAILED, Outcome.INCONCLUSIVE)
    assert (result["reason"], result["result_source"]) == (Reason.WORKER_LOST, "engine")
    assert await stations.dispatch() == 0
