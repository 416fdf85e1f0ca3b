"""A report's counts, its texts for programs, spreadsheets and tickets, and what it tells a person to do next."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

from checking_core.contracts import (
    Answer,
    Axes,
    CheckStatus,
    EvidenceKind,
    Expect,
    Met,
    Outcome,
    Prevention,
    Reason,
    RunState,
)
from checking_core.report import (
    Counts,
    OperationLine,
    OperationReport,
    OperationsReport,
    ReportedEvidence,
    ReportLine,
    Summary,
    Unchecked,
    next_steps,
    shapes,
    to_csv,
    to_json,
    to_markdown,
)
from checking_core.report.words import summary_of

from .reports import HOSTILE, NOW, PENDING, ROOT, check, execution, line, operation, report_of


def inconclusive(reason: Reason, **fields: Any) -> ReportLine:
    return line(outcome=Outcome.INCONCLUSIVE, met=Met.UNKNOWN, reason=reason, **fields)


# --- counts ------------------------------------------------------------------------------------------------------


def test_a_summary_counts_executions_once_and_checks_each() -> None:
    unchecked = ReportLine(execution=execution(2), unchecked=Unchecked.CLEANUP)
    waiting = line(step=3, **PENDING, next_look_at=NOW)
    found = Summary.of_lines([line(), line(outcome=Outcome.NONE, met=Met.NO), unchecked, waiting])
    assert (found.executions, found.unchecked_executions, found.checks, found.open) == (3, 1, 3, 1)
    assert found.by_outcome == {**dict.fromkeys(Outcome, 0), **dict.fromkeys(("alerted", "none", "pending"), 1)}
    assert found.by_met == {Met.YES: 1, Met.NO: 1, Met.UNKNOWN: 0}


def test_the_next_look_of_a_summary_is_the_earliest() -> None:
    later = [line(step=n, **PENDING, next_look_at=NOW + timedelta(seconds=n)) for n in (5, 2, 9)]
    assert Summary.of_lines(later).next_look_at == NOW + timedelta(seconds=2)


def test_the_summary_of_nothing_is_empty() -> None:
    found = Summary.of_lines([])
    assert (found.executions, found.checks, found.open, found.next_look_at) == (0, 0, 0, None)
    assert summary_of(found) == "0 executions; no checks."


def test_a_summary_is_told_in_one_line() -> None:
    lines = [
        line(),
        line(outcome=Outcome.NONE, met=Met.NO),
        line(step=2, outcome=Outcome.ALERTED, expect=Expect.SILENT),
    ]
    told = summary_of(Summary.of_lines([*lines, ReportLine(execution=execution(3), unchecked=Unchecked.CLEANUP)]))
    assert told == "3 executions, 1 of them without checks; 3 checks: 2 alerted, 1 none; 2 met, 1 NOT met."


# --- JSON --------------------------------------------------------------------------------------------------------


def test_json_gives_back_the_same_report() -> None:
    proof = ReportedEvidence(kind=EvidenceKind.ALERT, id="1", title=HOSTILE, url="https://siem.example/1")
    report = report_of(line(evidence=(proof,), near_misses={"alert_other_host": 2}), line(step=2, **PENDING))
    assert msgspec.json.decode(to_json(report), type=OperationReport) == report


def test_every_key_is_always_there() -> None:
    full = json.loads(to_json(report_of(line(), ReportLine(execution=execution(2), unchecked=Unchecked.CLEANUP))))
    bare = json.loads(to_json(report_of(line(**PENDING, expectation_id=None, time_to_detect_s=None))))
    assert full.keys() == bare.keys()
    assert full["lines"][0].keys() == full["lines"][1].keys() == bare["lines"][0].keys()
    assert full["lines"][0]["check"].keys() == bare["lines"][0]["check"].keys()
    assert full["summary"].keys() == bare["summary"].keys()
    assert set(full["summary"]["by_outcome"]) == set(Outcome)


def test_every_key_of_a_report_is_documented() -> None:
    document = (Path(__file__).parents[2] / "docs/reference/report.md").read_text(encoding="utf-8")
    kinds = [kind for name in shapes.__all__ if hasattr(kind := getattr(shapes, name), "__struct_fields__")]
    columns = {*csv_of(report_of())[0], *csv_of(overview())[0]}
    names = {field for kind in (*kinds, Axes) for field in kind.__struct_fields__} | columns
    words = {str(word) for kind in (Unchecked, Outcome, Met) for word in kind}
    assert {name for name in names | words if f"`{name}`" not in document} == set()


# --- CSV ---------------------------------------------------------------------------------------------------------


def csv_of(report: OperationReport | OperationsReport) -> list[list[str]]:
    return list(csv.reader(io.StringIO(to_csv(report), newline="")))


def one_row(report: OperationReport) -> dict[str, str]:
    heading, row = csv_of(report)
    return dict(zip(heading, row, strict=True))


def test_csv_has_one_row_per_check() -> None:
    unchecked = ReportLine(execution=execution(2), unchecked=Unchecked.NOTHING_EXPECTED)
    assert len(csv_of(report_of(line(), line(outcome=Outcome.NONE), unchecked))) == 1 + 2


def test_a_row_tells_execution_check_and_verdict() -> None:
    proof = ReportedEvidence(
        kind=EvidenceKind.ALERT, id="4f1", title="LSASS", alert_at=NOW, url="https://siem.example/1"
    )
    row = one_row(report_of(line(evidence=(proof, proof), near_misses={"alert_other_host": 2, "suppressed": 1})))
    wanted = {
        "operation_id": str(ROOT),
        "step": "1",
        "agent_host": "ws01",
        "command": "rundll32 comsvcs.dll",
        "started_at": "2026-01-15T09:10:00Z",
        "backend": "siem",
        "outcome": "alerted",
        "met": "yes",
        "alert": "yes",
        "prevention": "not_asked",
        "late": "false",
        "time_to_detect_s": "12.0",
        "evidence": "\n".join(["alert 2026-01-15T10:00:00Z 4f1 LSASS https://siem.example/1"] * 2),
        "near_misses": "3",
        "near_miss_reasons": "2 of another host, 1 suppressed",
    }
    assert {key: row[key] for key in wanted} == wanted


def test_what_is_not_known_is_an_empty_cell() -> None:
    row = one_row(report_of(line(**PENDING, expectation_id=None, time_to_detect_s=None)))
    assert [row[key] for key in ("met", "reason", "alert", "expectation_id", "time_to_detect_s")] == [""] * 5


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "  =1"])
def test_no_text_reaches_a_spreadsheet_as_a_formula(text: str) -> None:
    told = ReportLine(execution=execution(agent_host=text, command=text, procedure_name=text), check=check(note=text))
    row = one_row(report_of(told, name=text))
    assert {row[key] for key in ("agent_host", "command", "procedure_name", "note", "operation_name")} == {f"'{text}"}


def test_a_line_break_stays_inside_its_cell() -> None:
    told = ReportLine(execution=execution(command='first\r\nsecond "x"'), check=check())
    assert one_row(report_of(told))["command"] == 'first\r\nsecond "x"'


def test_a_number_stays_a_number() -> None:
    assert one_row(report_of(line(time_to_detect_s=-3.5)))["time_to_detect_s"] == "-3.5"


# --- Markdown ------------------------------------------------------------------------------------------------------


def table_of(document: str) -> list[list[str]]:
    """The text of the cells of the first table, and nothing but text may be in them, but for links."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(document)
    rows: list[list[str]] = []
    for index, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            parts = tokens[index + 1].children or []
            assert {part.type for part in parts} <= {"text", "link_open", "link_close"}
            rows[-1].append("".join(part.content for part in parts))
    return rows


def test_markdown_has_a_row_for_every_line() -> None:
    unchecked = ReportLine(execution=execution(2, run_state=RunState.FAILED), unchecked=Unchecked.CLEANUP)
    heading, first, second = table_of(to_markdown(report_of(line(), unchecked)))
    told = dict(zip(heading, first, strict=True))
    assert (told["Procedure"], told["Check"], told["Outcome"]) == ("T1003.001 Dump LSASS", "lsass @ siem", "alerted")
    assert told["Why"] == "matched_alert; after 12 s"
    assert second == ["2", "ws01", "failed: T1003.001 Dump LSASS", "", "", "", "", "cleanup, not checked", ""]


def test_hostile_text_changes_no_table() -> None:
    proof = ReportedEvidence(kind=EvidenceKind.ALERT, id="1", title=HOSTILE, url=f"https://siem.example/{HOSTILE}")
    hostile = execution(agent_host=HOSTILE, procedure_name=HOSTILE, technique_id=HOSTILE)
    told = ReportLine(execution=hostile, check=check(evidence=(proof,), note=HOSTILE))
    document = to_markdown(report_of(told, name=HOSTILE, state=HOSTILE, remark=HOSTILE))
    assert [len(row) for row in table_of(document)] == [9, 9]
    assert "<script" not in document
    assert document.replace("\n", "").isprintable()


def test_a_block_does_not_hide_its_alert() -> None:
    both = Axes(prevention=Prevention.BLOCKED, alert=Answer.YES)
    assert "| blocked, alerted |" in to_markdown(report_of(line(outcome=Outcome.BLOCKED, axes=both)))


def test_a_verdict_tells_its_flags_near_misses_and_note() -> None:
    told = line(late=True, ambiguous=True, near_misses={"alert_other_host": 1}, note="see ticket 7")
    why = table_of(to_markdown(report_of(told)))[1][7]
    assert why == "matched_alert; after 12 s; late; ambiguous; 1 near miss (1 of another host); see ticket 7"


def test_markdown_shows_three_records_and_counts_the_rest() -> None:
    records = tuple(
        ReportedEvidence(kind=EvidenceKind.ALERT, id=str(n), url=f"https://s.example/{n}") for n in range(5)
    )
    document = to_markdown(report_of(line(evidence=records)))
    assert "[0](<https://s.example/0>), [1](<https://s.example/1>), [2](<https://s.example/2>), and 2 more" in document


# --- what to do next ---------------------------------------------------------------------------------------------


def test_a_finished_operation_leaves_nothing_to_do() -> None:
    cleanup = ReportLine(execution=execution(2), unchecked=Unchecked.CLEANUP)
    assert next_steps(report_of(line(), cleanup)) == []


def test_checks_that_wait_name_the_time_and_the_command() -> None:
    waiting = line(**PENDING, next_look_at=NOW)
    (step,) = next_steps(report_of(waiting, line(step=2, **PENDING, next_look_at=NOW + timedelta(hours=1))))
    assert step == "2 checks wait for the next look until 2026-01-15 10:00:00Z: run checking serve."


def test_checks_under_way_are_told_apart_from_those_that_wait() -> None:
    flying = line(**{**PENDING, "status": CheckStatus.DISPATCHED})
    first, second = next_steps(report_of(flying, line(step=2, **PENDING, next_look_at=NOW)))
    assert first.startswith("1 check waits")
    assert second.startswith("1 check is under way")


def test_what_could_not_be_asked_names_backend_reason_and_remedy() -> None:
    auth = inconclusive(Reason.BACKEND_AUTH_FAILED, backend="edr")
    away = [inconclusive(Reason.BACKEND_UNREACHABLE, step=n) for n in (2, 3)]
    first, second = next_steps(report_of(auth, *away))
    assert first.startswith("2 checks are inconclusive on siem (backend_unreachable): check its address")
    assert second == (
        "1 check is inconclusive on edr (backend_auth_failed): check the credentials: checking plugins show edr."
    )


def test_every_reason_that_a_person_can_mend_has_a_remedy() -> None:
    nothing_to_mend = {Reason.CANCELLED, Reason.DEADLINE_PASSED, Reason.EXECUTION_FAILED, Reason.OVERRIDDEN}
    mendable = [reason for reason in Reason if reason.startswith(("backend_", "query_", "plugin_", "worker_"))]
    for reason in mendable:
        assert next_steps(report_of(inconclusive(reason))), reason
    for reason in nothing_to_mend:
        assert next_steps(report_of(inconclusive(reason))) == [], reason


def test_expectations_that_were_not_met_are_counted() -> None:
    lines = [line(step=n, outcome=Outcome.NONE, met=Met.NO) for n in (1, 2)]
    assert lines[0].check is not None
    assert next_steps(report_of(*lines)) == [
        (
            "2 checks do not meet what is expected: defences to work on."
            f" Why: checking explain {str(lines[0].check.id)[:8]}."
        )
    ]


def test_verdicts_in_doubt_are_counted_and_can_be_explained() -> None:
    (step,) = next_steps(report_of(line(ambiguous=True), line(step=2)))
    assert step.startswith("1 verdict rests on records that other executions claim too. Which: checking explain ")


def test_an_execution_that_nobody_expected_asks_for_an_expectation() -> None:
    ran = ReportLine(execution=execution(1), unchecked=Unchecked.NOTHING_EXPECTED)
    never = ReportLine(execution=execution(2, run_state=RunState.NEVER_RAN), unchecked=Unchecked.NOTHING_EXPECTED)
    (step,) = next_steps(report_of(ran, never))
    assert step.startswith("1 execution was expected nowhere")
    assert str(ROOT) in step


def test_markdown_ends_with_what_to_do_next() -> None:
    document = to_markdown(report_of(line(outcome=Outcome.NONE, met=Met.NO)))
    _, steps = document.split("## What to do next\n\n")
    assert steps.startswith("* 1 check does not meet what is expected")


# --- list of operations ------------------------------------------------------------------------------------------


def overview(total: int = 1, *, at_least: bool = False, **fields: Any) -> OperationsReport:
    counts = Counts.of(3, {Outcome.ALERTED: 2, Outcome.PENDING: 1})
    lines = (OperationLine(operation=operation(**fields), counts=counts),)
    return OperationsReport(generated_at=NOW, total=total, total_is_minimum=at_least, operations=lines)


def test_a_list_of_operations_counts_checks() -> None:
    heading, row = csv_of(overview())
    told = dict(zip(heading, row, strict=True))
    assert (told["executions"], told["checks"], told["open"]) == ("3", "3", "1")
    assert (told["alerted"], told["none"]) == ("2", "0")
    (first,) = json.loads(to_json(overview()))["operations"]
    assert first["counts"]["by_outcome"]["alerted"] == 2


def test_a_list_in_markdown_says_when_there_are_more() -> None:
    document = to_markdown(overview(total=7, name=HOSTILE))
    assert [len(row) for row in table_of(document)] == [8, 8]
    assert document.endswith("The newest 1 of 7.\n")
    assert to_markdown(overview(total=10_000, at_least=True)).endswith("The newest 1 of at least 10000.\n")
    assert "1 pending, 2 alerted" in document
