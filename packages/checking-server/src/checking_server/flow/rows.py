"""The shapes of rows that several stations write."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import msgspec

from checking_core.contracts import (
    Answer,
    Axes,
    CheckStatus,
    DetectionResult,
    Expect,
    LinkMessage,
    MatchTier,
    Met,
    Outcome,
    PlannedCheck,
    Reason,
    RunState,
    execution_id_of,
    task_id_of,
)
from checking_core.matching.judge import met_of, status_of
from checking_core.matching.looks import deadline_of, first_look
from checking_core.plugin.retry import RetryPolicy

__all__ = [
    "BY_ENGINE",
    "BY_PERSON",
    "BY_WORKER",
    "Row",
    "Stands",
    "awaits",
    "axes_of",
    "closed_check",
    "decided_result",
    "due_first",
    "engine_result",
    "is_open",
    "next_look_row",
    "noting_due",
    "planned_check",
    "seen_by",
    "stands_of",
    "waits_since",
    "worker_result",
]

Row: TypeAlias = Mapping[Any, Any]
"""A stored row by column name."""

BY_ENGINE = "engine"
"""Source of results that no worker gave, and who closed their checks."""

BY_WORKER = "worker"
"""Who closed a check that was answered."""
BY_PERSON = "person"
"""Who closed a check whose verdict was overridden, or whose asking again was cancelled."""

NOT_ASKED = Axes()
_MOST_OFFSET = 3600.0
_MOST_EARLY = 300.0


def awaits(check: Row, task_id: UUID) -> bool:
    """Whether an answer to this task changes it: its current look, while it is open or given up by the engine."""
    given_up = (
        check["execution_metadata"].get("closed_by") == BY_ENGINE and check["status"] is not CheckStatus.CANCELLED
    )
    return bool(task_id == check["task_id"] and (is_open(check["status"]) or given_up))


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


def planned_check(
    check: PlannedCheck, told: LinkMessage, now: datetime, *, queue_wait: float, request_id: str | None
) -> dict[str, Any]:
    """The row of a check that is new, closed already if there is nothing to ask.

    Args:
        check: as it was planned.
        told: the message that told of its execution.
        now: the time of the transaction.
        queue_wait: seconds that a task may wait in its queue, part of each lease.
        request_id: of the request that brought it.
    """
    execution, closed = told.execution, check.closed
    assert execution is not None  # noqa: S101 - a check is of an execution
    return {
        "id": check.id,
        "execution_result_id": execution_id_of(told.operation.operation_id, execution.link_id),
        "operation_id": told.operation.operation_id,
        "expectation_id": check.expectation_id,
        "detection_type": check.detection_type,
        "detection_platform": check.backend,
        "detection_config": check.config,
        "expect": check.expect,
        "status": status_of(closed.outcome) if closed else CheckStatus.PENDING,
        "outcome": closed.outcome if closed else Outcome.PENDING,
        "look": 1,
        "dispatches": 0,
        "available_at": first_look(execution.ended_at, check.timing, now),
        "deadline": deadline_of(execution.ended_at, check.timing),
        "lease_until": None,
        "task_id": task_id_of(check.id, 1),
        "retry_count": 0,
        "max_retries": check.max_retries,
        "started_at": None,
        "completed_at": now if closed else None,
        "execution_metadata": {
            "timing": check.timing,
            "lease": RetryPolicy(retries=check.max_retries).budget(check.timing.timeout) + queue_wait,
            "looks": [],
            **({"request_id": request_id} if request_id else {}),
            **({"note": closed.note} if closed and closed.note else {}),
        },
        "created_at": now,
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
    missed = met is Met.NO and result.alert is Answer.NO and check["expect"] in (Expect.ALERTED, Expect.BLOCKED)
    return {
        **_SILENT,
        **{name: getattr(result, name) for name in _SAME_NAME},
        "id": result.id,
        "task_id": result.id,
        "look": check["look"],
        "outcome": result.outcome,
        "met": met,
        "reason": why or result.reason,
        "late": _is_late(check, result),
        "seen_at": _seen_at(check, result.outcome, now),
        "time_to_detect_s": _seconds(check["execution_started_at"], result),
        "censored": missed,
        "metadata": result.result_metadata or None,
    }


def axes_of(result: Row) -> Axes:
    """What a stored verdict says of each question."""
    return Axes(**{name: result[name] for name in Axes.__struct_fields__})


def decided_result(current: Row, axes: Axes, now: datetime) -> dict[str, Any]:
    """The row of a person's verdict: what it rests on and when it was seen are those of the verdict that it replaces.

    A time to detect is told only where there is an alert.
    """
    kept = {name: current[name] for name in (*_SAME_NAME, "task_id", "look", "late", "seen_at") if name in current}
    alerted = axes.alert is Answer.YES
    return {
        **_SILENT,
        **kept,
        **{name: getattr(axes, name) for name in Axes.__struct_fields__},
        "raw_response": None,
        "alert_at": current["alert_at"] if alerted else None,
        "time_to_detect_s": current["time_to_detect_s"] if alerted else None,
        "late": current["late"] and alerted,
        "overridden": True,
        "result_timestamp": now,
        "created_at": max(now, current["created_at"] + timedelta(microseconds=1)),
    }


def _is_late(check: Row, result: DetectionResult) -> bool:
    """Created after the deadline; where the backend does not say when, not there at a complete look after it."""
    if result.alert_at is not None:
        return bool((result.alert_at - check["deadline"]).total_seconds() > _clock_offset(result))
    stands = stands_of(check)
    return result.alert is Answer.YES and stands is not None and stands.alert is Answer.NO


def _seen_at(check: Row, outcome: Outcome, now: datetime) -> datetime:
    """When the outcome was seen first: a look that only sees it again does not make it later."""
    first = check["execution_metadata"].get("seen_at")
    return datetime.fromisoformat(first) if first and seen_by(check) is outcome else now


def _seconds(start: datetime, result: DetectionResult) -> float | None:
    """From the start to the alert, on our clock. What is left of a difference of clocks makes no time negative.

    An alert that is much older sums up what happened before as well: when it saw this nobody knows.
    """
    if result.alert_at is None:
        return None
    seconds = (result.alert_at - start).total_seconds() - _clock_offset(result)
    return max(seconds, 0.0) if seconds > -_MOST_EARLY else None


def _clock_offset(result: DetectionResult) -> float:
    """Backend minus us, in seconds; 0 where it is not known, or cannot be true."""
    offset = result.clock_offset or 0.0
    return offset if abs(offset) <= _MOST_OFFSET else 0.0


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


class Stands(msgspec.Struct, frozen=True):
    """What counts of a verdict when a person has its check asked again: how firm it was, and what it said of alerts."""

    tier: MatchTier | None
    alert: Answer


def stands_of(check: Row) -> Stands | None:
    """The verdict that this check had when it was asked again."""
    told = check["execution_metadata"].get("stands")
    return msgspec.convert(told, Stands) if told else None


def waits_since(check: Row) -> datetime:
    """Since when an outage of its backend is waited for: its acceptance, or when a person asked again."""
    retried = check["execution_metadata"].get("retried_at")
    return datetime.fromisoformat(retried) if retried else check["created_at"]


def noting_due(check: Row) -> dict[str, Any]:
    """The metadata of a check whose look is sent once more: it may have begun as early as it was due at first."""
    metadata = check["execution_metadata"]
    return {**metadata, "due": [check["look"], due_first(check)]}


def due_first(check: Row) -> datetime:
    """When the present look was due, however often it has been sent since."""
    look, due = check["execution_metadata"].get("due", (None, None))
    return datetime.fromisoformat(due) if look == check["look"] else check["available_at"]
