"""Stored rows as the values of a report. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from checking_core.contracts import Axes, CheckStatus
from checking_core.report import (
    ReportedCheck,
    ReportedEvidence,
    ReportedExecution,
    ReportedNearMiss,
    ReportedOperation,
    ReportLine,
    Unchecked,
)
from checking_core.report.words import FLAGS
from checking_server.flow.rows import Row, is_open

__all__ = ["readable", "reported_lines", "reported_operation"]

Told = TypeVar("Told")


def reported_operation(row: Row) -> ReportedOperation:
    """The operation of a row."""
    return ReportedOperation(**{name: row[name] for name in ReportedOperation.__struct_fields__})


def reported_lines(executions: Sequence[Row], checks: Sequence[Row], now: datetime) -> tuple[ReportLine, ...]:
    """A line per check in the order of the executions; an execution without any has one of its own.

    Args:
        executions: in the order of their starts.
        checks: with their current results, in any order.
        now: what lies after it is still to come.
    """
    by_execution: dict[UUID, list[Row]] = {}
    for check in sorted(checks, key=_order):
        by_execution.setdefault(check["execution_result_id"], []).append(check)
    lines = []
    for step, row in enumerate(executions, start=1):
        execution = _execution(step, row)
        own = by_execution.get(row["id"], ())
        if not own:
            why = Unchecked.CLEANUP if row["cleanup"] else Unchecked.NOTHING_EXPECTED
            lines.append(ReportLine(execution=execution, unchecked=why))
        lines += [ReportLine(execution=execution, check=_check(check, now)) for check in own]
    return tuple(lines)


def _order(check: Row) -> tuple[str, str, UUID]:
    """The checks of one execution always stand in the same order, so that two reports can be compared."""
    return check["expectation_id"] or "", check["detection_platform"], check["id"]


def _execution(step: int, row: Row) -> ReportedExecution:
    same = {name: row[name] for name in ReportedExecution.__struct_fields__ if name not in ("step", "command")}
    return ReportedExecution(step=step, command=row["plaintext_command"] or row["command"], **same)


def _check(row: Row, now: datetime) -> ReportedCheck:
    looks = row["execution_metadata"].get("looks", [])
    waits = row["status"] is CheckStatus.PENDING and row["available_at"] > now
    without_verdict = is_open(row["status"]) or row["met"] is None
    return ReportedCheck(
        id=row["id"],
        backend=row["detection_platform"],
        expectation_id=row["expectation_id"],
        expect=row["expect"],
        status=row["status"],
        outcome=row["outcome"],
        looks=max((look["look"] for look in looks), default=0),
        next_look_at=row["available_at"] if waits else None,
        deadline=row["deadline"],
        note=_note(row),
        **(_NO_VERDICT if without_verdict else _verdict(row)),
    )


_TIMES = ("event_at", "indexed_at", "alert_at", "seen_at", "time_to_detect_s")
_TRUE_OR_NOT = (*FLAGS, "censored")
_SAME_NAME = ("reason", "met", "match_tier", "lift", *_TIMES, *_TRUE_OR_NOT)

_NO_VERDICT: dict[str, Any] = {
    **dict.fromkeys(_SAME_NAME),
    **dict.fromkeys(_TRUE_OR_NOT, False),
    "axes": None,
    "evidence": (),
    "near_misses": {},
    "nearest": (),
}


def _verdict(row: Row) -> dict[str, Any]:
    parsed = row["parsed_results"] if isinstance(row["parsed_results"], dict) else {}
    return {
        **{name: row[name] for name in _SAME_NAME},
        "axes": Axes(**{name: row[name] for name in Axes.__struct_fields__}),
        "evidence": readable(parsed.get("evidence"), ReportedEvidence),
        "near_misses": _near_misses(parsed.get("near_miss_counts")),
        "nearest": readable(parsed.get("near_misses"), ReportedNearMiss),
    }


def readable(told: Any, kind: type[Told]) -> tuple[Told, ...]:
    """The items of a list that can be read: a worker of the original system writes whatever it likes here."""
    found = []
    for record in told if isinstance(told, list) else ():
        try:
            found.append(msgspec.convert(record, kind))
        except msgspec.ValidationError:
            continue
    return tuple(found)


def _near_misses(told: Any) -> dict[str, int]:
    try:
        return msgspec.convert(told, dict[str, int])
    except msgspec.ValidationError:
        return {}


def _note(row: Row) -> str:
    """What was said about the check by its plan, its plugin, or the person who overrode it; open, by the transport."""
    planned, answered = row["execution_metadata"], row["metadata"] or {}
    later = [planned.get("returned")] if is_open(row["status"]) else [answered.get("note"), answered.get("error")]
    return "; ".join(text for text in (planned.get("note"), *later) if isinstance(text, str) and text)
