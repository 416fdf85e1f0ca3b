"""A person has a closed check asked again: more may be seen then, and what was seen is never taken back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from checking_core.contracts import (
    Answer,
    CheckStatus,
    DetectionTask,
    EvidenceClaim,
    MatchTier,
    Outcome,
    Prevention,
    Reason,
    encode,
)
from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage.tables import evidence_claims
from checking_core.transport import DELIVERY_LIMIT, HEADER_REASON, Message
from checking_server.flow.bury import Bury
from checking_server.flow.cancel import cancel
from checking_server.flow.gather import Gathered
from checking_server.flow.retry import retry

from .conftest import SOMEBODY, Stations, hint, taken
from .test_gather import answer

Link = Callable[..., bytes]

NO_ALERT = {"rule": Answer.NOT_ASKED, "alert": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}
LOGGED = {**NO_ALERT, "telemetry": Answer.YES, "outcome": Outcome.LOGGED, "reason": Reason.TELEMETRY_WITHOUT_ALERT}
NONE = {**NO_ALERT, "telemetry": Answer.NO, "alive": Answer.YES, "outcome": Outcome.NONE}
MATCHED = {"alert": Answer.NO, "outcome": Outcome.MATCHED}
ALERTED = {"rule": Answer.NOT_ASKED, "alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT}
BLOCKED = {**ALERTED, "prevention": Prevention.BLOCKED, "outcome": Outcome.BLOCKED}
AWAY = {**NO_ALERT, "alert": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.BACKEND_UNREACHABLE}
NOT_YET = {**AWAY, "reason": Reason.DEADLINE_NOT_REACHED, "final": False}

WEAKEST_FIRST = [AWAY, NO_ALERT, LOGGED, MATCHED, ALERTED, BLOCKED]


@pytest.fixture
async def task(stations: Stations, link: Link) -> DetectionTask:
    """The look at the deadline of a check that wants an alert, with a worker."""
    worker = await stations.serve("siem")
    await stations.accepts(link(detections=[hint(alert={"rule": "r"}, expect="alerted")]))
    stations.clock.move(1300)
    await stations.dispatch()
    (found,) = await taken(worker)
    await worker.stop()
    return found


async def asked_again(stations: Stations, task: DetectionTask) -> DetectionTask:
    """The task of the look that a person asked for, a day later."""
    stations.clock.move(86_400)
    await retry(stations.store, [task.detection_execution_id], SOMEBODY, on_due=stations._wake)
    worker = await stations.serve("siem")
    await stations.dispatch()
    (found,) = await taken(worker)
    await worker.stop()
    return found


async def verdict(stations: Stations, task: DetectionTask) -> Any:
    async with stations.store.read() as uow:
        (row,) = await uow.results.current([task.detection_execution_id])
    (check,) = await stations.checks()
    assert check["outcome"] is row["outcome"]
    return row


async def test_a_closed_check_is_due_at_once_under_the_id_of_its_next_look(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **NO_ALERT))
    woken = stations.woken
    again = await asked_again(stations, task)
    assert (again.look, again.detection_execution_id) == (2, task.detection_execution_id)
    assert again.task_id != task.task_id
    assert again.deadline_passed
    assert stations.woken == woken + 1


async def test_a_late_alert_upgrades_the_verdict_and_history_stays(stations: Stations, task: DetectionTask) -> None:
    assert task.deadline is not None
    await stations.gathers(answer(task, **NO_ALERT))
    again = await asked_again(stations, task)
    late = {**ALERTED, "alert_at": task.deadline + timedelta(hours=2)}
    assert await stations.gathers(answer(again, **late)) == [Gathered.CLOSED]
    current = await verdict(stations, task)
    assert (current["outcome"], current["late"], current["met"]) == (Outcome.ALERTED, True, "yes")
    async with stations.store.read() as uow:
        history = await uow.results.of_check(task.detection_execution_id)
    assert [row["outcome"] for row in history] == [Outcome.ALERTED, Outcome.NO_ALERT]


@pytest.mark.parametrize("before", [NO_ALERT, LOGGED, NONE])
async def test_an_alert_without_a_time_that_was_not_there_after_the_deadline_is_late(
    stations: Stations, task: DetectionTask, before: dict[str, Any]
) -> None:
    await stations.gathers(answer(task, **before))
    await stations.gathers(answer(await asked_again(stations, task), **ALERTED))
    assert (await verdict(stations, task))["late"] is True


async def test_an_alert_without_a_time_is_not_late_where_nobody_could_tell_before(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **AWAY))
    await stations.gathers(answer(await asked_again(stations, task), **ALERTED))
    assert (await verdict(stations, task))["late"] is False


@pytest.mark.parametrize("strong", range(1, len(WEAKEST_FIRST)))
@pytest.mark.parametrize("weak", range(len(WEAKEST_FIRST) - 1))
async def test_a_weaker_answer_never_replaces_a_stronger_verdict_and_a_stronger_one_always_does(
    stations: Stations, task: DetectionTask, strong: int, weak: int
) -> None:
    if weak >= strong:
        return
    weaker, stronger = WEAKEST_FIRST[weak], WEAKEST_FIRST[strong]
    await stations.gathers(answer(task, **stronger))
    before = await verdict(stations, task)
    assert await stations.gathers(answer(await asked_again(stations, task), **weaker)) == [Gathered.CLOSED]
    assert await verdict(stations, task) == before
    (check,) = await stations.checks()
    assert [look["outcome"] for look in check["execution_metadata"]["looks"]] == [
        stronger["outcome"],
        weaker["outcome"],
    ]


@pytest.mark.parametrize("strong", range(1, len(WEAKEST_FIRST)))
async def test_a_stronger_answer_replaces_a_weaker_verdict(
    stations: Stations, task: DetectionTask, strong: int
) -> None:
    weaker, stronger = WEAKEST_FIRST[strong - 1], WEAKEST_FIRST[strong]
    await stations.gathers(answer(task, **weaker))
    await stations.gathers(answer(await asked_again(stations, task), **stronger))
    assert (await verdict(stations, task))["outcome"] is stronger["outcome"]


async def test_the_same_from_evidence_that_is_not_firmer_changes_nothing(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **ALERTED, match_tier=MatchTier.ARTEFACT))
    before = await verdict(stations, task)
    for tier in (MatchTier.ARTEFACT, MatchTier.NAMED_RULE, None):
        await stations.gathers(answer(await asked_again(stations, task), **ALERTED, match_tier=tier))
        assert await verdict(stations, task) == before


async def test_the_same_from_firmer_evidence_is_the_new_verdict(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **ALERTED, match_tier=MatchTier.NAMED_RULE))
    seen_at = (await verdict(stations, task))["seen_at"]
    await stations.gathers(answer(await asked_again(stations, task), **ALERTED, match_tier=MatchTier.PROCESS))
    current = await verdict(stations, task)
    assert current["match_tier"] is MatchTier.PROCESS
    assert current["seen_at"] == seen_at, "it was seen when it was seen first"


async def test_a_newer_no_is_the_verdict(stations: Stations, task: DetectionTask) -> None:
    """Its near misses are those of today."""
    await stations.gathers(answer(task, **NO_ALERT))
    again = await asked_again(stations, task)
    await stations.gathers(answer(again, **{**NO_ALERT, "reason": Reason.ALERT_OTHER_HOST}))
    assert (await verdict(stations, task))["reason"] is Reason.ALERT_OTHER_HOST


async def test_a_verdict_that_stands_keeps_its_claims(stations: Stations, task: DetectionTask) -> None:
    claim = EvidenceClaim(record_id="a", tier=MatchTier.PROCESS)
    await stations.gathers(answer(task, **ALERTED, claims=(claim,)))
    await stations.gathers(answer(await asked_again(stations, task), **NO_ALERT))
    assert [row["record_id"] for row in await stations.rows(evidence_claims)] == ["a"]


async def test_an_outage_is_waited_for_from_when_the_person_asked(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **ALERTED))
    again = await asked_again(stations, task)
    assert await stations.gathers(answer(again, **AWAY, final=False)) == [Gathered.LOOK_AGAIN]
    (check,) = await stations.checks()
    assert check["available_at"] > stations.clock.now


async def test_a_verdict_stands_when_nobody_answers_the_person(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **NO_ALERT))
    before = await verdict(stations, task)
    again = await asked_again(stations, task)
    await Bury(stations.store)([Message(body=encode(again), message_id="", headers={HEADER_REASON: DELIVERY_LIMIT})])
    assert await verdict(stations, task) == before
    assert (await stations.checks())[0]["status"] is CheckStatus.COMPLETED


async def test_what_a_look_sees_after_the_person_asked_counts_though_it_is_not_final(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **NO_ALERT))
    again = await asked_again(stations, task)
    seen = {**MATCHED, "alert": Answer.UNKNOWN, "final": False}
    assert await stations.gathers(answer(again, **seen)) == [Gathered.LOOK_AGAIN]
    worker = await stations.serve("siem")
    while (await stations.checks())[0]["status"] is not CheckStatus.COMPLETED:
        stations.clock.move(300)
        await stations.dispatch()
        await stations.gathers(*[answer(found, **AWAY, final=False) for found in await taken(worker)])
    assert (await verdict(stations, task))["outcome"] is Outcome.MATCHED


async def test_a_check_that_waits_anyway_is_not_asked_again(stations: Stations, task: DetectionTask) -> None:
    with pytest.raises(ConflictError, match="is open"):
        await retry(stations.store, [task.detection_execution_id], SOMEBODY, on_due=stations._wake)


@pytest.mark.parametrize(
    "fields", [{"link_state": "DISCARD"}, {"detections": [{"detection_type": "api", "detection_config": {}}]}]
)
async def test_where_there_was_nothing_to_ask_there_is_nothing_to_ask_again(
    stations: Stations, link: Link, fields: dict[str, Any]
) -> None:
    await stations.accepts(link(**fields))
    (check,) = await stations.checks()
    assert check["completed_at"] is not None
    with pytest.raises(ConflictError, match="nothing to ask"):
        await retry(stations.store, [check["id"]], SOMEBODY, on_due=stations._wake)


async def test_one_wrong_id_among_several_changes_nothing(stations: Stations, task: DetectionTask) -> None:
    await stations.gathers(answer(task, **NO_ALERT))
    with pytest.raises(NotFoundError):
        await retry(stations.store, [task.detection_execution_id, uuid4()], SOMEBODY, on_due=stations._wake)
    assert (await stations.checks())[0]["status"] is CheckStatus.COMPLETED


async def test_an_answer_that_comes_after_asking_again_was_cancelled_changes_nothing(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **NO_ALERT))
    again = await asked_again(stations, task)
    buried = Message(body=encode(again), message_id="", headers={HEADER_REASON: DELIVERY_LIMIT})
    await Bury(stations.store)([buried])
    third = await asked_again(stations, task)
    await cancel(stations.store, task.detection_execution_id, SOMEBODY)
    stands = await verdict(stations, task)
    assert await stations.gathers(answer(third, **ALERTED)) == [Gathered.REPEATED]
    assert await verdict(stations, task) == stands
    assert stands["outcome"] is Outcome.NO_ALERT


async def test_what_a_look_saw_before_asking_again_was_cancelled_is_the_verdict(
    stations: Stations, task: DetectionTask
) -> None:
    await stations.gathers(answer(task, **LOGGED))
    again = await asked_again(stations, task)
    await stations.gathers(answer(again, **{**MATCHED, "final": False}))
    await cancel(stations.store, task.detection_execution_id, SOMEBODY)
    assert (await verdict(stations, task))["outcome"] is Outcome.MATCHED
