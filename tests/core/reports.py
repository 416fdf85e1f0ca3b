"""Reports for tests: complete, changed where the test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from checking_core.contracts import Answer, Axes, CheckStatus, Expect, Met, Outcome, Reason, RunState
from checking_core.matching.judge import status_of
from checking_core.report import (
    OperationReport,
    ReportedCheck,
    ReportedExecution,
    ReportedOperation,
    ReportLine,
    Summary,
)

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
ROOT = UUID("10000000-0000-4000-8000-000000000001")
PENDING = {"outcome": Outcome.PENDING, "status": CheckStatus.PENDING, "reason": None, "met": None, "axes": None}
HOSTILE = "a|b`c`\n<script>[x](javascript:y)\x1b[31m\u202e"


def operation(**fields: Any) -> ReportedOperation:
    told: dict[str, Any] = {
        "id": uuid5(ROOT, "row"),
        "operation_id": ROOT,
        "name": "Winter exercise",
        "source": "caldera",
        "source_id": None,
        "state": "finished",
        "operation_start": NOW - timedelta(hours=1),
        "created_at": NOW,
    }
    return ReportedOperation(**{**told, **fields})


def execution(step: int = 1, **fields: Any) -> ReportedExecution:
    told: dict[str, Any] = {
        "id": uuid5(ROOT, str(step)),
        "step": step,
        "agent_host": "ws01",
        "agent_paw": "paw",
        "procedure_name": "Dump LSASS",
        "technique_id": "T1003.001",
        "technique_name": "LSASS Memory",
        "tactic": "credential-access",
        "command": "rundll32 comsvcs.dll",
        "run_state": RunState.RAN,
        "started_at": NOW - timedelta(minutes=50),
        "finished_at": NOW - timedelta(minutes=49),
    }
    return ReportedExecution(**{**told, **fields})


def check(outcome: Outcome = Outcome.ALERTED, met: Met | None = Met.YES, **fields: Any) -> ReportedCheck:
    told: dict[str, Any] = {
        "id": uuid5(ROOT, f"check {outcome} {fields}"),
        "backend": "siem",
        "expectation_id": "lsass",
        "expect": Expect.ALERTED,
        "status": status_of(outcome),
        "outcome": outcome,
        "reason": Reason.MATCHED_ALERT,
        "met": met,
        "axes": Axes(alert=Answer.YES),
        "match_tier": None,
        "late": False,
        "ambiguous": False,
        "in_control_window": False,
        "tooling": False,
        "overridden": False,
        "lift": None,
        "event_at": None,
        "indexed_at": None,
        "alert_at": None,
        "seen_at": None,
        "time_to_detect_s": 12.0,
        "censored": False,
        "looks": 1,
        "next_look_at": None,
        "deadline": NOW,
        "evidence": (),
        "near_misses": {},
        "nearest": (),
        "note": "",
    }
    return ReportedCheck(**{**told, **fields})


def report_of(*lines: ReportLine, remark: str = "", **fields: Any) -> OperationReport:
    return OperationReport(
        generated_at=NOW,
        operation=operation(**fields),
        remark=remark,
        summary=Summary.of_lines(lines),
        lines=lines,
    )


def line(*, step: int = 1, **fields: Any) -> ReportLine:
    return ReportLine(execution=execution(step), check=check(**fields))
