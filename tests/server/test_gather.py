"""Station 4: a result is applied once, and closes its check or schedules the next look."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from checking_core.contracts import (
    Answer,
    CheckStatus,
    DetectionResult,
    DetectionTask,
    EvidenceClaim,
    MatchTier,
    Outcome,
    Reason,
    encode,
)
from checking_core.errors import RejectedMessageError
from checking_core.storage.tables import evidence_claims
from checking_core.transport import DELIVERY_LIMIT, HEADER_REASON, Message
from checking_server.flow.bury import Bury
from checking_server.flow.gather import Gathered

from .conftest import Stations, hint, taken

Link = Callable[..., bytes]


@pytest.fixture
async def task(stations: Stations, link: Link) -> DetectionTask:
    """A task that a worker has in hand."""
    worker = await stations.serve("siem")
    await stations.accepts(link())
    await stations.dispatch()
    (found,) = await taken(worker)
    return found


def answer(task: DetectionTask, **fields: Any) -> DetectionResult:
    """A hit, unless told otherwise."""
    told: dict[str, Any] = {"rule": Answer.YES, "outcome": Outcome.MATCHED, "reason": Reason.MATCHED_RULE, **fields}
    return DetectionResult(
        id=task.task_id,
        detection_execution_id=task.detection_execution_id,
        look=task.look,
        result_timestamp=task.created_at,
        result_source="mock",
        **told,
    )


CLAIM = EvidenceClaim(record_id="alert-1", tier=MatchTier.PROCESS)
NOT_YET = {
    "rule": Answer.UNKNOWN,
    "outcome": Outcome.INCONCLUSIVE,
    "reason": Reason.DEADLINE_NOT_REACHED,
    "final": False,
}


async def test_a_final_result_closes_the_check(stations: Stations, task: DetectionTask) -> None:
    assert await stations.gathers(answer(task)) == [Gathered.CLOSED]
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.MATCHED)
    assert (check["completed_at"], check["lease_until"]) == (stations.clock.now, None)
    assert (result["id"], result["task_id"], result["met"]) == (task.task_id, task.task_id, "yes")


async def test_a_result_that_is_not_final_schedules_the_next_look(stations: Stations, task: DetectionTask) -> None:
    assert await stations.gathers(answer(task, **NOT_YET)) == [Gathered.LOOK_AGAIN]
    (check,) = await stations.checks()
    assert (check["status"], check["outcome"], check["look"]) == (CheckStatus.PENDING, Outcome.PENDING, 2)
    assert check["available_at"] == stations.clock.now + timedelta(seconds=15)
    assert check["task_id"] != task.task_id
    assert [look["look"] for look in check["execution_metadata"]["looks"]] == [1]
    assert await stations.results() == [], "a look that is not final is no verdict"


async def test_the_same_result_again_changes_nothing(stations: Stations, task: DetectionTask) -> None:
    assert await stations.gathers(answer(task), answer(task)) == [Gathered.CLOSED, Gathered.REPEATED]
    assert await stations.gathers(answer(task)) == [Gathered.REPEATED]
    assert len(await stations.results()) == 1


async def test_the_first_result_of_a_task_stands(stations: Stations, task: DetectionTask) -> None:
    no = {"rule": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}
    await stations.gathers(answer(task))
    assert await stations.gathers(answer(task, **no)) == [Gathered.REPEATED]
    assert (await stations.checks())[0]["outcome"] is Outcome.MATCHED


async def test_an_answer_to_an_earlier_look_is_not_applied(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **NOT_YET))
    assert await stations.gathers(answer(task)) == [Gathered.REPEATED]
    assert (await stations.checks())[0]["status"] is CheckStatus.PENDING


async def test_a_genuine_result_replaces_the_engines_own_verdict(stations: Stations, task: DetectionTask) -> None:
    await Bury(stations.store)([Message(body=encode(task), message_id="", headers={HEADER_REASON: DELIVERY_LIMIT})])
    assert (await stations.checks())[0]["status"] is CheckStatus.FAILED
    assert await stations.gathers(answer(task)) == [Gathered.CLOSED]
    assert (await stations.checks())[0]["outcome"] is Outcome.MATCHED
    assert sorted(result["result_source"] for result in await stations.results()) == ["engine", "mock"]


async def test_a_result_of_no_check_is_rejected_and_the_others_go_on(stations: Stations, task: DetectionTask) -> None:
    stray = msgspec.structs.replace(answer(task), detection_execution_id=uuid4())
    rejected, applied = await stations.gathers(stray, answer(task))
    assert isinstance(rejected, RejectedMessageError)
    assert rejected.field == "detection_execution_id"
    assert applied is Gathered.CLOSED


@pytest.mark.parametrize("outcome", [Outcome.PENDING, Outcome.NOT_RUN])
async def test_an_answer_that_answers_nothing_is_rejected_and_the_check_waits_for_a_better_one(
    stations: Stations, task: DetectionTask, outcome: Outcome
) -> None:
    (rejected,) = await stations.gathers(answer(task, outcome=outcome))
    assert isinstance(rejected, RejectedMessageError)
    assert rejected.field == "outcome"
    assert (await stations.checks())[0]["status"] is CheckStatus.DISPATCHED
    assert await stations.results() == []


async def test_nothing_found_before_the_deadline_is_asked_once_more_after_it(
    stations: Stations, task: DetectionTask
) -> None:
    stations.clock.move(700)  # the answer was long on its way; its look began before the deadline
    assert await stations.gathers(answer(task, **NOT_YET)) == [Gathered.LOOK_AGAIN]
    (check,) = await stations.checks()
    assert check["available_at"] == stations.clock.now


MATCHED_SO_FAR = {"alert": Answer.UNKNOWN, "final": False}
AWAY = {**NOT_YET, "reason": Reason.BACKEND_UNREACHABLE}


async def the_next_task(stations: Stations) -> DetectionTask:
    """The task of the next look, once it is due."""
    worker = await stations.serve("siem")
    (check,) = await stations.checks()
    stations.clock.now = max(stations.clock.now, check["available_at"])
    await stations.dispatch()
    (task,) = await taken(worker)
    await worker.stop()
    return task


async def test_what_a_look_saw_is_not_taken_back_by_a_later_outage(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **MATCHED_SO_FAR, claims=(CLAIM,)))
    (check,) = await stations.checks()
    assert (check["status"], check["outcome"]) == (CheckStatus.PENDING, Outcome.PENDING), "an alert may still come"
    while await stations.gathers(answer(await the_next_task(stations), **AWAY)) == [Gathered.LOOK_AGAIN]:
        pass
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.MATCHED)
    assert (result["rule"], result["alert"], result["reason"]) == ("yes", "unknown", Reason.MATCHED_RULE)
    assert len(await stations.rows(evidence_claims)) == 1


async def test_what_a_look_saw_is_not_taken_back_by_a_later_no(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **MATCHED_SO_FAR))
    stations.clock.move(700)
    no = {"rule": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}
    assert await stations.gathers(answer(await the_next_task(stations), **no)) == [Gathered.CLOSED]
    assert (await stations.checks())[0]["outcome"] is Outcome.MATCHED


async def test_a_later_look_that_sees_as_much_or_more_gives_the_verdict(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **MATCHED_SO_FAR))
    await stations.gathers(answer(await the_next_task(stations), **MATCHED_SO_FAR))
    assert len(await stations.results()) == 1, "seen again is not seen more"
    alerted = {"alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT}
    assert await stations.gathers(answer(await the_next_task(stations), **alerted)) == [Gathered.CLOSED]
    assert (await stations.checks())[0]["outcome"] is Outcome.ALERTED
    assert {result["outcome"] for result in await stations.results()} == {Outcome.MATCHED, Outcome.ALERTED}


@pytest.mark.parametrize(("told", "seconds"), [(120, 120), (1e18, 658), ("soon", 15), (-1, 15), (None, 15)])
async def test_a_backend_that_asked_for_time_is_asked_again_no_sooner(
    stations: Stations, task: DetectionTask, told: Any, seconds: float
) -> None:
    away = {**NOT_YET, "reason": Reason.BACKEND_RATE_LIMITED, "result_metadata": {"retry_after": told}}
    await stations.gathers(answer(task, **away))
    assert (await stations.checks())[0]["available_at"] == stations.clock.now + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "no",
    [
        {"rule": Answer.NO, "outcome": Outcome.NO_ALERT},
        {"telemetry": Answer.NO, "alive": Answer.YES, "outcome": Outcome.NONE},
        {"alert": Answer.NO, "telemetry": Answer.YES, "outcome": Outcome.LOGGED},
    ],
)
async def test_a_no_before_the_deadline_proves_nothing_whoever_calls_it_final(
    stations: Stations, task: DetectionTask, no: dict[str, Any]
) -> None:
    told = {"rule": Answer.NOT_ASKED, "reason": None, **no}
    assert await stations.gathers(answer(task, **told)) == [Gathered.LOOK_AGAIN]


async def test_where_a_block_is_wanted_no_alert_before_the_deadline_says_that_there_was_none(
    stations: Stations, link: Link
) -> None:
    """The next alert may tell it."""
    worker = await stations.serve("siem")
    await stations.accepts(link(detections=[hint(expect="blocked", prevention=True, alert={"rule": "r"})]))
    await stations.dispatch()
    (task,) = await taken(worker)
    passed = {"rule": Answer.NOT_ASKED, "alert": Answer.YES, "outcome": Outcome.ALERTED, "prevention": "not_blocked"}
    await stations.gathers(answer(task, **passed, reason=Reason.MATCHED_ALERT))
    (check,) = await stations.checks()
    assert (check["status"], check["look"]) == (CheckStatus.PENDING, 2)
    stations.clock.move(1300)
    await stations.dispatch()
    (task,) = await taken(worker)
    blocked = {"rule": Answer.NOT_ASKED, "alert": Answer.YES, "outcome": Outcome.BLOCKED, "prevention": "blocked"}
    await stations.gathers(answer(task, **blocked, reason=Reason.PREVENTED))
    (check,) = await stations.checks()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.BLOCKED)


async def test_a_trace_is_enough_before_the_deadline_where_nothing_else_was_asked(
    stations: Stations, task: DetectionTask
) -> None:
    trace = {"rule": Answer.NOT_ASKED, "telemetry": Answer.YES, "outcome": Outcome.LOGGED}
    assert await stations.gathers(answer(task, **trace)) == [Gathered.CLOSED]


async def test_an_outage_is_waited_for_and_then_closes_the_check_as_inconclusive(
    stations: Stations, task: DetectionTask
) -> None:
    worker = await stations.serve("siem")
    away = {**NOT_YET, "reason": Reason.BACKEND_UNREACHABLE}
    answers = []
    while (await stations.checks())[0]["status"] is not CheckStatus.FAILED:
        answers += await stations.gathers(answer(task, **away))
        stations.clock.move(300)
        if await stations.dispatch():
            (task,) = await taken(worker)
    (check,), (result,) = await stations.checks(), await stations.results()
    assert answers[-1] is Gathered.CLOSED
    assert len(answers) > 2
    assert (check["outcome"], result["reason"]) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)


def original(task: DetectionTask, *, detected: bool) -> DetectionResult:
    """The answer of a worker of the original system."""
    told = {"id": str(task.task_id), "detection_execution_id": str(task.detection_execution_id), "detected": detected}
    rest = {"result_timestamp": "2026-01-15T09:00:10Z", "result_source": "mock_api", "status": "completed"}
    return msgspec.convert({**told, **rest}, DetectionResult)


async def test_a_hit_of_a_worker_of_the_original_system_closes_the_check(
    stations: Stations, task: DetectionTask
) -> None:
    assert await stations.gathers(original(task, detected=True)) == [Gathered.CLOSED]
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["outcome"], result["rule"], result["detected"]) == (Outcome.MATCHED, Answer.YES, True)


async def test_a_no_of_a_worker_of_the_original_system_counts_if_its_look_was_due_at_the_deadline(
    stations: Stations, task: DetectionTask
) -> None:
    """Such a worker does not tell when it looked: it may have begun as soon as the look was due."""
    worker = await stations.serve("siem")
    stations.clock.move(700)  # the answer was long on its way; the deadline passed in the meantime
    assert await stations.gathers(original(task, detected=False)) == [Gathered.LOOK_AGAIN]
    await stations.dispatch()
    (task,) = await taken(worker)
    assert await stations.gathers(original(task, detected=False)) == [Gathered.CLOSED]
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["outcome"], result["rule"], result["look"]) == (Outcome.NO_ALERT, Answer.NO, 2)


async def test_the_time_to_detect_runs_from_the_executions_start_to_the_alert(
    stations: Stations, task: DetectionTask
) -> None:
    assert task.execution_context.started_at is not None
    alerted = task.execution_context.started_at + timedelta(seconds=90)
    found = {"alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT, "alert_at": alerted}
    await stations.gathers(answer(task, **found))
    (result,) = await stations.results()
    assert (result["time_to_detect_s"], result["late"]) == (90, False)


async def test_an_alert_that_was_raised_after_the_deadline_is_late(stations: Stations, task: DetectionTask) -> None:
    assert task.deadline is not None
    found = {"alert": Answer.YES, "outcome": Outcome.ALERTED, "alert_at": task.deadline + timedelta(seconds=1)}
    await stations.gathers(answer(task, **found))
    assert (await stations.results())[0]["late"] is True


async def test_what_a_verdict_rests_on_is_claimed(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, claims=(CLAIM,)))
    (claim,) = await stations.rows(evidence_claims)
    assert (claim["backend"], claim["record_id"], claim["check_id"]) == ("siem", "alert-1", task.detection_execution_id)
