"""Station 1: what the red team did is stored once, with its planned checks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from checking_core.contracts import Answer, CheckStatus, Outcome, Reason
from checking_core.errors import RejectedMessageError
from checking_server.flow.accept import Change
from checking_server.flow.gather import Gathered

from .conftest import Stations, an_answer, hint, not_yet, taken

Link = Callable[..., bytes]
ENDED_LATER = datetime(2026, 1, 15, 9, 9, tzinfo=UTC)


async def test_a_message_becomes_an_operation_an_execution_and_a_check(stations: Stations, link: Link) -> None:
    (answer,) = await stations.accepts(link())
    (operation,), (execution,), (check,) = (
        await stations.operations(),
        await stations.executions(),
        await stations.checks(),
    )
    assert answer.change is Change.NEW
    assert answer.operation_id == operation["operation_id"] == execution["operation_id"] == check["operation_id"]
    assert (execution["agent_host"], execution["command"], execution["revision"]) == ("ws01", "whoami", 1)
    assert (check["status"], check["outcome"], check["look"]) == (CheckStatus.PENDING, Outcome.PENDING, 1)
    assert check["detection_config"]["rule"] == {"query": "index=security"}
    assert stations.woken == 1


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_repeated_message_changes_nothing(stations: Stations, link: Link, batches: int) -> None:
    if batches == 1:
        first, second = await stations.accepts(link(), link())
    else:
        (first,) = await stations.accepts(link())
        before = await stations.executions()
        (second,) = await stations.accepts(link())
        assert await stations.executions() == before
    assert {first.change, second.change} <= {Change.NEW, Change.REPEATED}
    assert len(await stations.executions()) == len(await stations.checks()) == 1
    assert (await stations.executions())[0]["revision"] == 1


async def test_a_later_different_result_is_a_new_revision_of_the_same_row(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    (answer,) = await stations.accepts(link(status=1, link_state="ERROR", finish="2026-01-15T09:00:05Z"))
    (execution,) = await stations.executions()
    assert answer.change is Change.REVISED
    assert (execution["revision"], execution["run_state"]) == (2, "failed")
    assert len(await stations.checks()) == 1


async def test_a_hopeless_message_costs_only_itself(stations: Stations, link: Link) -> None:
    answers = await stations.accepts(link(1), b"{", link(2, agent_host=None), link(3))
    problems = [answer for answer in answers if isinstance(answer, RejectedMessageError)]
    assert [answer.field for answer in problems] == ["$", "execution.agent_host"]
    assert len(await stations.executions()) == 2


@pytest.mark.parametrize(("ahead", "refused"), [(timedelta(hours=23), False), (timedelta(hours=25), True)])
async def test_what_is_told_of_the_future_is_refused_beyond_what_clocks_differ(
    stations: Stations, link: Link, ahead: timedelta, refused: bool
) -> None:
    then = (datetime.now(UTC) + ahead).isoformat()
    state = {"message_type": "operation_state", "timestamp": then, "operation": {"id": "1"}, "to_state": "finished"}
    answers = await stations.accepts(link(collect=then, finish=then), msgspec.json.encode(state))
    assert [isinstance(answer, RejectedMessageError) for answer in answers] == [refused, refused]


async def test_an_execution_that_never_ran_gets_its_checks_closed_without_a_task(
    stations: Stations, link: Link
) -> None:
    await stations.accepts(link(status=-2, link_state="DISCARD", collect=None, finish=None))
    (check,), (result,) = await stations.checks(), await stations.results()
    assert (check["status"], check["outcome"]) == (CheckStatus.COMPLETED, Outcome.NOT_RUN)
    assert (result["outcome"], result["reason"]) == (Outcome.NOT_RUN, Reason.EXECUTION_SKIPPED)
    assert await stations.dispatch() == 0


async def test_an_execution_that_ran_after_all_is_checked(stations: Stations, link: Link) -> None:
    await stations.accepts(link(status=-2, link_state="DISCARD", collect=None, finish=None))
    await stations.accepts(link())
    (check,) = await stations.checks()
    assert (check["status"], check["outcome"], check["completed_at"]) == (CheckStatus.PENDING, Outcome.PENDING, None)
    assert len(await stations.results()) == 1, "the verdict that was given stays in history"


async def test_a_check_in_flight_gets_the_deadline_of_the_end_that_is_told_later(
    stations: Stations, link: Link
) -> None:
    """A command was handed out, asked about, and ran on for nine minutes: what was no miss then is none now."""
    worker = await stations.serve("siem")
    await stations.accepts(link(status=-3, link_state="EXECUTE", finish=None))
    stations.clock.move(590)
    await stations.dispatch()
    (task,) = await taken(worker)
    await stations.gathers(not_yet(task))
    await stations.accepts(link(finish="2026-01-15T09:09:00Z"))
    stations.clock.move(60)
    await stations.dispatch()
    (task,) = await taken(worker)
    assert (task.look, task.deadline_passed, task.execution_context.finished_at) == (2, False, ENDED_LATER)
    assert task.deadline == ENDED_LATER + timedelta(seconds=600)


NO_ALERT = {"alert": Answer.NOT_ASKED, "rule": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}
MATCHED = {"alert": Answer.NOT_ASKED, "rule": Answer.YES, "outcome": Outcome.MATCHED}


@pytest.mark.parametrize(
    ("verdict", "ended", "asked_again"),
    [(NO_ALERT, "09:15:00", True), (NO_ALERT, "09:00:30", False), (MATCHED, "09:15:00", False)],
)
async def test_a_no_that_was_given_before_the_execution_had_ended_is_asked_again(
    stations: Stations, link: Link, verdict: dict[str, Any], ended: str, asked_again: bool
) -> None:
    """The command was handed out, and had not answered when its check was closed."""
    worker = await stations.serve("siem")
    await stations.accepts(link(status=-3, link_state="EXECUTE", finish=None))
    stations.clock.move(700)
    await stations.dispatch()
    (task,) = await taken(worker)
    await stations.gathers(replace(an_answer(task), **verdict))
    (closed,) = await stations.checks()
    await stations.accepts(link(finish=f"2026-01-15T{ended}Z"))
    (check,) = await stations.checks()
    assert (check["outcome"] is Outcome.PENDING) is asked_again
    assert len(await stations.results()) == 1, "the verdict that was given stays in history"
    if asked_again:
        stations.clock.now = check["deadline"]
        await stations.dispatch()
        (task,) = await taken(worker)
        assert (task.look, task.deadline_passed) == (2, True)
        assert await stations.gathers(replace(an_answer(task), **verdict)) == [Gathered.CLOSED]
    else:
        assert check == closed


@pytest.mark.parametrize("finish", [None, "2026-01-15T09:00:02Z"])
async def test_checks_are_planned_from_the_message_that_is_stored(
    stations: Stations, link: Link, finish: str | None
) -> None:
    """One batch tells of a link twice; what does not count for the row must not count for its checks."""
    discarded = link(status=-2, link_state="DISCARD", collect=None, finish=finish)
    await stations.accepts(link(), discarded)
    (execution,), (check,) = await stations.executions(), await stations.checks()
    assert (execution["run_state"], check["outcome"]) == ("ran", Outcome.PENDING)


async def test_a_cleanup_link_is_stored_and_not_checked(stations: Stations, link: Link) -> None:
    await stations.accepts(link(cleanup=True))
    assert len(await stations.executions()) == 1
    assert await stations.checks() == []


async def test_an_unusable_hint_becomes_an_inconclusive_check_and_the_others_go_on(
    stations: Stations, link: Link
) -> None:
    await stations.accepts(link(detections=[hint(), {"detection_platform": "siem", "detection_config": 7}]))
    outcomes = sorted(check["outcome"] for check in await stations.checks())
    assert outcomes == [Outcome.INCONCLUSIVE, Outcome.PENDING]
    (result,) = await stations.results()
    assert result["reason"] == Reason.QUERY_INVALID


async def test_a_state_message_moves_the_operation_and_an_older_one_does_not(stations: Stations, link: Link) -> None:
    def state(to: str, at: str) -> bytes:
        operation = {"operation_id": "10000000-0000-4000-8000-000000000001", "name": "op"}
        told = {"message_type": "operation_state", "timestamp": at, "operation": operation, "to_state": to}
        return msgspec.json.encode(told)

    await stations.accepts(link())
    (first,) = await stations.accepts(state("finished", "2026-01-15T10:00:00Z"))
    (older,) = await stations.accepts(state("cleanup", "2026-01-15T09:59:00Z"))
    (again,) = await stations.accepts(state("finished", "2026-01-15T10:00:00Z"))
    (operation,) = await stations.operations()
    assert operation["state"] == "finished"
    assert [first.change, older.change, again.change] == [Change.NEW, Change.REPEATED, Change.REPEATED]


async def test_credentials_in_a_hint_reach_no_row(stations: Stations, link: Link) -> None:
    await stations.accepts(link(detections=[hint(headers={"Authorization": "Bearer s3cr3t-value"})]))
    stored = repr(await stations.executions()) + repr(await stations.checks())
    assert "s3cr3t-value" not in stored
    assert "index=security" in stored
