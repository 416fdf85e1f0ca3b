"""The shapes of rows that several stations write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import uuid5

from checking_core.contracts import (
    Axes,
    CheckStatus,
    DetectionResult,
    Expect,
    Met,
    Outcome,
    Reason,
    RunState,
    task_id_of,
)
from checking_core.matching.judge import met_of, status_of

__all__ = [
    "BY_ENGINE",
    "BY_WORKER",
    "Row",
    "closed_check",
    "due_first",
    "engine_result",
    "is_open",
    "next_look_row",
    "noting_due",
    "seen_by",
    "worker_result",
]

Row: TypeAlias = Mapping[Any, Any]
"""A stored row by column name."""

BY_ENGINE = "engine"
"""Source of results that no worker gave, and who closed their checks."""

BY_WORKER = "worker"
"""Who closed a check that was answered."""

NOT_ASKED = Axes()


def closed_check(check: Row, outcome: Outcome, now: datetime, **metadata: Any) -> dict[str, Any]:
    """The columns that change when a check gets its final outcome."""
    return {
        "id": check["id"],
        "status": status_of(outcome),
        "outcome": outcome,
        "completed_at": now,
        "execution_metadata": {**check["execution_metadata"], **metadata},
    }


def next_look_row(check: Row, due: datetime, **metadata: Any) -> dict[str, Any]:
    """The columns that change when a check is asked once more, under the id of its next look."""
    look = check["look"] + 1
    return {
        "id": check["id"],
        "look": look,
        "task_id": task_id_of(check["id"], look),
        "available_at": due,
        "dispatches": 0,
        "status": CheckStatus.PENDING,
        "outcome": Outcome.PENDING,
        "completed_at": None,
        "execution_metadata": {**check["execution_metadata"], **metadata},
    }


def engine_result(check: Row, outcome: Outcome, reason: Reason, now: datetime) -> dict[str, Any]:
    """A result that no worker gave: nothing ran, nothing answered, nobody could be asked.

    Its id is derived, so that closing a check twice stores it once, and differs from the task's, so that a genuine
    answer that arrives later still finds its place.
    """
    return {
        **_SILENT,
        "id": uuid5(check["task_id"], f"{BY_ENGINE} {reason}"),
        "task_id": check["task_id"],
        "detection_execution_id": check["id"],
        "look": check["look"],
        "outcome": outcome,
        "reason": reason,
        "met": met_of(check["expect"], outcome, NOT_ASKED)[0],
        "seen_at": now,
        "result_timestamp": now,
        "result_source": BY_ENGINE,
    }


def worker_result(check: Row, result: DetectionResult, now: datetime) -> dict[str, Any]:
    """The row of a worker's answer. ``check`` carries its execution's ``started_at`` and ``run_state``."""
    assert result.outcome is not None  # noqa: S101 - gather judges original-style answers first
    failed = check["run_state"] in (RunState.FAILED, RunState.TIMED_OUT)
    met, why = met_of(check["expect"], result.outcome, result.axes, execution_failed=failed)
    alerted_after = _seconds(check["execution_started_at"], result.alert_at)
    return {
        **_SILENT,
        **{name: getattr(result, name) for name in _SAME_NAME},
        "id": result.id,
        "task_id": result.id,
        "look": check["look"],
        "outcome": result.outcome,
        "met": met,
        "reason": why or result.reason,
        "late": result.alert_at is not None and result.alert_at > check["deadline"],
        "seen_at": now,
        "time_to_detect_s": alerted_after,
        "censored": alerted_after is None and check["expect"] in (Expect.ALERTED, Expect.BLOCKED),
        "metadata": result.result_metadata or None,
    }


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else (end - start).total_seconds()


_SAME_NAME = (
    "detection_execution_id",
    "detected",
    "prevention",
    "alert",
    "rule",
    "telemetry",
    "alive",
    "match_tier",
    "in_control_window",
    "lift",
    "tooling",
    "event_at",
    "indexed_at",
    "alert_at",
    "query_sent",
    "searched_from",
    "searched_to",
    "result_timestamp",
    "result_source",
    "raw_response",
    "parsed_results",
)

_SILENT: dict[str, Any] = {
    "detected": None,
    "prevention": NOT_ASKED.prevention,
    "alert": NOT_ASKED.alert,
    "rule": NOT_ASKED.rule,
    "telemetry": NOT_ASKED.telemetry,
    "alive": NOT_ASKED.alive,
    "met": Met.UNKNOWN,
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
    "time_to_detect_s": None,
    "censored": False,
    "query_sent": None,
    "searched_from": None,
    "searched_to": None,
    "raw_response": None,
    "parsed_results": None,
    "metadata": None,
}
"""Every column of a result that nothing was found for; rows of one statement must have the same columns."""


def is_open(status: CheckStatus) -> bool:
    """Whether a check still waits for its verdict."""
    return status in (CheckStatus.PENDING, CheckStatus.DISPATCHED, CheckStatus.RUNNING)


def seen_by(check: Row) -> Outcome | None:
    """The best that a look saw that was not final; nothing takes it back, neither an outage nor a later silence."""
    seen = check["execution_metadata"].get("seen")
    return Outcome(seen) if seen else None


def noting_due(check: Row) -> dict[str, Any]:
    """The metadata of a check whose look is sent once more: it may have begun as early as it was due at first."""
    metadata = check["execution_metadata"]
    return {**metadata, "due": [check["look"], due_first(check)]}


def due_first(check: Row) -> datetime:
    """When the present look was due, however often it has been sent since."""
    look, due = check["execution_metadata"].get("due", (None, None))
    return datetime.fromisoformat(due) if look == check["look"] else check["available_at"]
