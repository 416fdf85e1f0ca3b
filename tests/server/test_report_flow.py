"""Station 5: stored rows become a report, whatever state their checks are in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from checking_core.contracts import (
    Answer,
    CheckStatus,
    DetectionResult,
    DetectionTask,
    Evidence,
    EvidenceKind,
    MatchTier,
    Met,
    NearMiss,
    Outcome,
    ParsedResults,
    Reason,
    RunState,
)
from checking_core.errors import NotFoundError
from checking_core.report import OperationReport, ReportedCheck, Unchecked, to_csv, to_json, to_markdown
from checking_core.storage import Store
from checking_server.flow.report import overview, report

from .conftest import ENDED, Clock, Stations, hint, taken

Link = Callable[..., bytes]
FIRST = "10000000-0000-4000-8000-000000000001"
OTHER = "10000000-0000-4000-8000-000000000002"


def about(number: str, **fields: Any) -> dict[str, Any]:
    return {"operation_id": number, **fields}


def only_check(found: OperationReport) -> ReportedCheck:
    (line,) = found.lines
    assert line.check is not None
    return line.check


def answer(task: DetectionTask, **fields: Any) -> DetectionResult:
    """A hit, unless told otherwise."""
    told: dict[str, Any] = {"rule": Answer.YES, "outcome": Outcome.MATCHED, "reason": Reason.MATCHED_RULE, **fields}
    return DetectionResult(
        id=task.task_id,
        detection_execution_id=task.detection_execution_id,
        look=task.look,
        result_timestamp=task.created_at,
        result_source="siem",
        **told,
    )


async def answered(stations: Stations, **fields: Any) -> None:
    """Everything that is due gets this answer."""
    worker = await stations.serve("siem")
    await stations.dispatch()
    await stations.gathers(*[answer(task, **fields) for task in await taken(worker)])


# --- which operation -----------------------------------------------------------------------------------------


async def test_an_operation_is_found_by_every_name_it_has(stations: Stations, link: Link) -> None:
    await stations.accepts(link(operation=about("op-7", name="Winter exercise")))
    (row,) = await stations.operations()
    for key in (str(row["id"]), str(row["operation_id"]), row["operation_id"].hex, "Winter exercise", "op-7", "latest"):
        assert (await report(stations.store, key)).operation.operation_id == row["operation_id"], key


async def test_of_several_of_one_name_the_newest_is_taken_and_told(
    stations: Stations, link: Link, clock: Clock
) -> None:
    await stations.accepts(link(1, operation=about(FIRST)))
    clock.move(1)
    await stations.accepts(link(2, operation=about(OTHER)))
    found = await report(stations.store, "op")
    assert found.operation.operation_id == UUID(OTHER)
    assert found.remark == f"2 operations have this name; this is the newest. The others: {FIRST}."
    assert (await report(stations.store, FIRST)).remark == ""


async def test_an_operation_called_like_an_id_of_none_is_found_by_its_name(stations: Stations, link: Link) -> None:
    await stations.accepts(link(operation=about(FIRST, name=OTHER)))
    assert (await report(stations.store, OTHER)).operation.operation_id == UUID(FIRST)


async def test_an_unknown_operation_names_the_nearest(stations: Stations, link: Link) -> None:
    await stations.accepts(link(operation=about(FIRST, name="Winter exercise\x1b[31m")))
    with pytest.raises(NotFoundError, match="did you mean 'Winter exercise␛\\[31m'"):
        await report(stations.store, "winter exercise")
    with pytest.raises(NotFoundError, match="checking report lists them"):
        await report(stations.store, "\x00\udcff something else")


@pytest.mark.parametrize("key", ["latest", "op", FIRST])
async def test_an_empty_store_says_how_to_fill_it(store: Store, key: str) -> None:
    with pytest.raises(NotFoundError, match="checking ingest"):
        await report(store, key)


# --- lines -----------------------------------------------------------------------------------------------------


async def test_lines_stand_in_the_order_of_the_executions(stations: Stations, link: Link) -> None:
    late = link(1, collect="2026-01-15T08:59:00Z", detections=[hint("siem"), hint("edr"), hint("siem", query="x")])
    early = link(2, collect="2026-01-15T08:00:00Z", finish="2026-01-15T08:01:00Z")
    await stations.accepts(late, early)
    found = await report(stations.store, "op")
    assert [line.execution.step for line in found.lines] == [1, 2, 2, 2]
    assert [line.check and line.check.backend for line in found.lines] == ["siem", "edr", "siem", "siem"]
    assert (await report(stations.store, "op")).lines == found.lines


async def test_an_execution_is_told_in_plain_text(stations: Stations, link: Link) -> None:
    ability = {
        "ability_id": "1",
        "name": "Who",
        "tactic": "discovery",
        "technique_id": "T1033",
        "technique_name": "Owner",
    }
    await stations.accepts(link(command="d2hvYW1p", plaintext_command="whoami", ability=ability, link_state="ERROR"))
    execution = (await report(stations.store, "op")).lines[0].execution
    told = (execution.command, execution.procedure_name, execution.technique_id, execution.tactic, execution.run_state)
    assert told == ("whoami", "Who", "T1033", "discovery", RunState.FAILED)


async def test_executions_without_checks_say_why(stations: Stations, link: Link) -> None:
    await stations.accepts(link(1, cleanup=True), link(2, detections=None))
    found = await report(stations.store, "op")
    assert {line.unchecked for line in found.lines} == {Unchecked.CLEANUP, Unchecked.NOTHING_EXPECTED}
    assert (found.summary.executions, found.summary.unchecked_executions, found.summary.checks) == (2, 2, 0)


# --- checks ----------------------------------------------------------------------------------------------------


async def test_an_open_check_has_no_verdict_and_says_when_it_is_asked(stations: Stations, link: Link) -> None:
    await stations.accepts(link(detections=[hint(settle=60)]))
    check = only_check(found := await report(stations.store, "op"))
    assert (check.is_open, check.met, check.reason, check.axes, check.looks) == (True, None, None, None, 0)
    assert check.next_look_at == found.summary.next_look_at
    assert check.next_look_at is not None
    assert (check.next_look_at - ENDED).total_seconds() == 60
    assert found.summary.open == 1


async def test_a_check_with_a_worker_waits_for_no_look(stations: Stations, link: Link) -> None:
    await stations.serve("siem")
    await stations.accepts(link())
    await stations.dispatch()
    check = only_check(await report(stations.store, "op"))
    assert (check.status, check.next_look_at) == (CheckStatus.DISPATCHED, None)


async def test_a_closed_check_tells_its_verdict_with_evidence(stations: Stations, link: Link, clock: Clock) -> None:
    await stations.accepts(link(detections=[hint(alert={"rule": "r"}, expect="alerted")]))
    clock.move(5)
    proof = Evidence(kind=EvidenceKind.ALERT, id="1", title="whoami", url="https://siem.example/1", fields={"a": 1})
    near = NearMiss(kind=EvidenceKind.ALERT, id="2", reason=Reason.ALERT_OTHER_HOST)
    parsed = ParsedResults(evidence=(proof,), near_misses=(near,), near_miss_counts={"alert_other_host": 7})
    told = {"alert": Answer.YES, "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT, "alert_at": clock.now}
    await answered(stations, **told, match_tier=MatchTier.PROCESS, parsed_results=parsed)
    check = only_check(await report(stations.store, "op"))
    assert (check.outcome, check.reason, check.met) == (Outcome.ALERTED, Reason.MATCHED_ALERT, Met.YES)
    assert (check.match_tier, check.looks, check.near_misses) == (MatchTier.PROCESS, 1, {"alert_other_host": 7})
    assert check.time_to_detect_s == 7
    assert [(record.id, record.title, record.url) for record in check.evidence] == [("1", "whoami", proof.url)]
    assert check.axes is not None
    assert check.axes.alert is Answer.YES


async def test_a_check_that_is_asked_again_counts_its_looks(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    not_yet = {"rule": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.DEADLINE_NOT_REACHED}
    await answered(stations, **not_yet, final=False)
    check = only_check(await report(stations.store, "op"))
    assert (check.is_open, check.looks, check.reason) == (True, 1, None)
    assert check.next_look_at is not None


async def test_a_check_that_could_not_be_planned_says_why(stations: Stations, link: Link) -> None:
    await stations.accepts(link(detections=[{"detection_type": "api", "detection_config": {}}]))
    check = only_check(await report(stations.store, "op"))
    assert (check.outcome, check.reason, check.looks) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID, 0)
    assert "CHECKING_DEFAULT_BACKEND" in check.note


async def test_a_check_that_failed_tells_the_words_of_its_plugin(stations: Stations, link: Link) -> None:
    await stations.accepts(link())
    failed = {"rule": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.BACKEND_AUTH_FAILED}
    await answered(stations, **failed, status=CheckStatus.FAILED, result_metadata={"error": "401 Unauthorized"})
    check = only_check(await report(stations.store, "op"))
    assert (check.reason, check.note) == (Reason.BACKEND_AUTH_FAILED, "401 Unauthorized")


@pytest.mark.parametrize(
    "parsed",
    [
        None,
        ["records"],
        {"evidence": "none", "near_miss_counts": [1]},
        {"evidence": [1, {"id": 7}, {"kind": "alert", "id": "1"}], "near_miss_counts": {"x": "y"}},
    ],
)
async def test_evidence_that_cannot_be_read_spoils_no_report(stations: Stations, link: Link, parsed: Any) -> None:
    await stations.accepts(link())
    await answered(stations, parsed_results=parsed)
    check = only_check(await report(stations.store, "op"))
    assert check.outcome is Outcome.MATCHED
    assert [record.id for record in check.evidence] in ([], ["1"])
    assert check.near_misses == {}


async def test_hostile_rows_become_text_in_every_format(stations: Stations, link: Link) -> None:
    hostile = "=cmd|' /C calc'!A0`\r\n<script>\x1b]8;;http://evil\x07\u202e"
    await stations.accepts(link(agent_host=hostile, command=hostile, operation=about(FIRST, name=hostile)))
    found = await report(stations.store, FIRST)
    assert found.lines[0].execution.command == hostile
    for text in (to_json(found), to_markdown(found)):
        assert text.replace("\n", "").isprintable()
    assert ",'=cmd" in to_csv(found).replace('"', "")


# --- the list --------------------------------------------------------------------------------------------------


async def test_the_list_counts_what_the_reports_count(stations: Stations, link: Link, clock: Clock) -> None:
    await stations.accepts(link(1), link(2, detections=None), link(3, status=-2), link(4, cleanup=True))
    await answered(stations)
    await stations.accepts(link(5))
    clock.move(1)
    await stations.accepts(
        link(1, operation=about(OTHER, name="second", state="finished"), detections=[hint(), hint("edr")])
    )
    listed = await overview(stations.store)
    assert [line.operation.name for line in listed.operations] == ["second", "op"]
    assert (listed.total, listed.total_is_minimum) == (2, False)
    for line in listed.operations:
        summary = (await report(stations.store, str(line.operation.id))).summary
        counts = line.counts
        assert (counts.executions, counts.checks, counts.open) == (summary.executions, summary.checks, summary.open)
        assert counts.by_outcome == summary.by_outcome


async def test_the_list_shows_the_newest_and_says_how_many_there_are(
    stations: Stations, link: Link, clock: Clock
) -> None:
    for number in (1, 2, 3):
        await stations.accepts(link(number, operation=about(f"op-{number}", name=f"op {number}")))
        clock.move(1)
    listed = await overview(stations.store, size=2)
    assert [line.operation.name for line in listed.operations] == ["op 3", "op 2"]
    assert listed.total == 3


async def test_the_list_of_an_empty_store_is_empty(store: Store) -> None:
    assert (await overview(store)).operations == ()
