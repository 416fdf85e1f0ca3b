"""A report as CSV (RFC 4180): one row per check, for spreadsheets, which must not take a cell for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from checking_core.contracts import Outcome
from checking_core.report.escape import csv_cell
from checking_core.report.shapes import (
    OperationLine,
    OperationReport,
    OperationsReport,
    ReportedCheck,
    ReportedEvidence,
    ReportLine,
)
from checking_core.report.words import counted_by_reason

__all__ = ["to_csv"]

Row = TypeVar("Row")


def to_csv(report: OperationReport | OperationsReport) -> str:
    """Text of a CSV file with a heading. Write it without translating its line breaks, which are those of the RFC."""
    if isinstance(report, OperationReport):
        rows = [(report, line, line.check) for line in report.lines if line.check is not None]
        return _table(_CHECK_COLUMNS, rows)
    return _table(_OPERATION_COLUMNS, report.operations)


def _table(columns: Mapping[str, Callable[[Row], Any]], rows: Iterable[Row]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([_cell(value(row)) for value in columns.values()] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return value.value
        case datetime():
            return _instant(value)
        case int() | float():
            return value
        case _:
            return csv_cell(str(value))


def _instant(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


_Told = tuple[OperationReport, ReportLine, ReportedCheck]


def _of_execution(name: str) -> Callable[[_Told], Any]:
    return lambda told: getattr(told[1].execution, name)


def _of_check(name: str) -> Callable[[_Told], Any]:
    return lambda told: getattr(told[2], name)


def _of_axes(name: str) -> Callable[[_Told], Any]:
    return lambda told: getattr(told[2].axes, name, None)


def _evidence(check: ReportedCheck) -> str:
    return "\n".join(map(_record, check.evidence))


def _record(evidence: ReportedEvidence) -> str:
    when = evidence.alert_at or evidence.event_at
    parts = (evidence.kind.value, _instant(when) if when else "", evidence.id, evidence.title, evidence.url)
    return " ".join(part for part in parts if part)


def _count(outcome: Outcome, line: OperationLine) -> int:
    return line.counts.by_outcome[outcome]


_EXECUTION = ("step", "agent_host", "agent_paw", "procedure_name", "technique_id", "tactic", "command", "run_state")
_VERDICT = ("backend", "expectation_id", "expect", "status", "outcome", "met", "reason")
_AXES = ("prevention", "alert", "rule", "telemetry", "alive")
_DETAILS = (
    "match_tier",
    "late",
    "ambiguous",
    "in_control_window",
    "tooling",
    "overridden",
    "lift",
    "event_at",
    "indexed_at",
    "alert_at",
    "seen_at",
    "time_to_detect_s",
    "censored",
    "looks",
    "next_look_at",
    "deadline",
)

_CHECK_COLUMNS: dict[str, Callable[[_Told], Any]] = {
    "operation_id": lambda told: told[0].operation.operation_id,
    "operation_name": lambda told: told[0].operation.name,
    "execution_id": _of_execution("id"),
    **{name: _of_execution(name) for name in (*_EXECUTION, "started_at", "finished_at")},
    "check_id": _of_check("id"),
    **{name: _of_check(name) for name in _VERDICT},
    **{name: _of_axes(name) for name in _AXES},
    **{name: _of_check(name) for name in _DETAILS},
    "evidence": lambda told: _evidence(told[2]),
    "near_misses": lambda told: sum(told[2].near_misses.values()),
    "near_miss_reasons": lambda told: counted_by_reason(told[2].near_misses),
    "note": _of_check("note"),
}

_OPERATION_COLUMNS: dict[str, Callable[[OperationLine], Any]] = {
    "operation_id": lambda line: line.operation.operation_id,
    "name": lambda line: line.operation.name,
    "source": lambda line: line.operation.source,
    "source_id": lambda line: line.operation.source_id,
    "state": lambda line: line.operation.state,
    "operation_start": lambda line: line.operation.operation_start,
    "created_at": lambda line: line.operation.created_at,
    "executions": lambda line: line.counts.executions,
    "checks": lambda line: line.counts.checks,
    "open": lambda line: line.counts.open,
    **{outcome.value: partial(_count, outcome) for outcome in Outcome if outcome is not Outcome.PENDING},
}
