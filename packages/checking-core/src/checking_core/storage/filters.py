"""What a list of rows is narrowed to, and in which orders it comes: the ones that an index serves.

Filters combine with AND; of several values of one filter a row has any. A filter of a check may look at its execution
(``ran``), a filter of a result at its check (``of``). Reasons, sources and texts have no index of their own: they are
compared among what the other filters select.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
import sqlalchemy as sa

from checking_core.contracts import CheckStatus, Expect, LinkState, Met, Outcome, Prevention, Reason, RunState
from checking_core.storage.tables import detection_executions, detection_results, execution_results, operations

__all__ = [
    "ANY_CHECK",
    "ANY_EXECUTION",
    "ANY_OPERATION",
    "ANY_RESULT",
    "CheckFilter",
    "CheckOrder",
    "Detected",
    "ExecutionFilter",
    "ExecutionOrder",
    "OperationFilter",
    "OperationOrder",
    "ResultFilter",
    "ResultOrder",
    "checks_where",
    "executions_where",
    "operations_where",
    "results_where",
]

Condition: TypeAlias = sa.ColumnElement[bool]

_operation, _execution = operations.c, execution_results.c
_check, _result = detection_executions.c, detection_results.c


class OperationOrder(StrEnum):
    """Orders of operations."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    CHANGED_LAST = "-updated_at"
    CHANGED_FIRST = "updated_at"
    NAME = "name"
    NAME_DOWN = "-name"


class ExecutionOrder(StrEnum):
    """Orders of executions."""

    NEWEST = "-started_at"
    OLDEST = "started_at"
    HOST = "agent_host"
    HOST_DOWN = "-agent_host"


class CheckOrder(StrEnum):
    """Orders of checks."""

    NEWEST = "-created_at"
    OLDEST = "created_at"


class ResultOrder(StrEnum):
    """Orders of results."""

    NEWEST = "-created_at"
    OLDEST = "created_at"


class Detected(StrEnum):
    """The verdict in three words: the original's ``true``, ``false`` and ``null``."""

    YES = "true"
    NO = "false"
    UNKNOWN = "unknown"


class OperationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of operations: ``name`` is a part of it, ``since`` and ``until`` enclose when they were stored."""

    name: str | None = None
    state: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ExecutionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of executions: ``command`` is a part of it, ``technique`` includes its sub-techniques.

    ``since`` and ``until`` enclose when they started, the end excluded.
    """

    operation_id: UUID | None = None
    link_id: UUID | None = None
    host: str | None = None
    paw: str | None = None
    status: int | None = None
    states: Collection[LinkState] | None = None
    run_states: Collection[RunState] | None = None
    technique: str | None = None
    tactic: str | None = None
    platform: str | None = None
    cleanup: bool | None = None
    command: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ANY_EXECUTION = ExecutionFilter()


class CheckFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of checks: ``platform`` is the backend; ``since`` and ``until`` enclose when they were stored.

    ``retryable`` are those closed in doubt after they had been asked: asked once more they may get a verdict.
    """

    operation_id: UUID | None = None
    execution_id: UUID | None = None
    expectation_id: str | None = None
    type: str | None = None
    platform: str | None = None
    expect: Expect | None = None
    statuses: Collection[CheckStatus] | None = None
    outcomes: Collection[Outcome] | None = None
    retryable: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    ran: ExecutionFilter = ANY_EXECUTION


ANY_CHECK = CheckFilter()


class ResultFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of results: ``source`` is who gave them; ``since`` and ``until`` enclose when they were stored."""

    check_id: UUID | None = None
    outcomes: Collection[Outcome] | None = None
    reasons: Collection[Reason] | None = None
    detected: Detected | None = None
    prevention: Prevention | None = None
    met: Met | None = None
    overridden: bool | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    of: CheckFilter = ANY_CHECK


ANY_OPERATION = OperationFilter()
ANY_RESULT = ResultFilter()


def operations_where(wanted: OperationFilter) -> Sequence[Condition]:
    """The filter as conditions on ``operations``."""
    return _conditions(wanted, _OF_OPERATION)


def executions_where(wanted: ExecutionFilter) -> Sequence[Condition]:
    """The filter as conditions on ``execution_results``."""
    return _conditions(wanted, _OF_EXECUTION)


def checks_where(wanted: CheckFilter) -> Sequence[Condition]:
    """The filter as conditions on ``detection_executions`` alone."""
    own = _conditions(wanted, _OF_CHECK)
    ran = executions_where(wanted.ran)
    return [*own, _check.execution_result_id.in_(sa.select(_execution.id).where(*ran))] if ran else own


def results_where(wanted: ResultFilter) -> Sequence[Condition]:
    """The filter as conditions on ``detection_results`` alone."""
    own = _conditions(wanted, _OF_RESULT)
    of = checks_where(wanted.of)
    return [*own, _result.detection_execution_id.in_(sa.select(_check.id).where(*of))] if of else own


def _conditions(wanted: msgspec.Struct, tests: Mapping[str, Callable[[Any], Condition]]) -> list[Condition]:
    asked = {name: getattr(wanted, name) for name in tests}
    return [tests[name](value) for name, value in asked.items() if value is not None]


def _part(column: sa.Column[Any]) -> Callable[[str], Condition]:
    return lambda text: column.icontains(text, autoescape=True)


def _technique(technique: str) -> Condition:
    told = _execution.technique_id
    return sa.or_(told == technique, sa.and_(told > f"{technique}.", told < f"{technique}/"))  # "/" follows "."


def _status(statuses: Collection[CheckStatus]) -> Condition:
    """With the outcomes that these statuses have, by which checks are indexed."""
    outcomes = {outcome for status in statuses for outcome in _OUTCOMES.get(status, tuple(Outcome))}
    return sa.and_(_check.status.in_(statuses), _check.outcome.in_(sorted(outcomes)))


def _retryable(wanted: bool) -> Condition:
    answered = _check.execution_metadata["closed_by"].as_string().is_not(None)
    found = sa.and_(_check.outcome.in_([Outcome.INCONCLUSIVE]), answered)
    return found if wanted else sa.not_(found)


def _detected(wanted: Detected) -> Condition:
    return _result.detected.is_({Detected.YES: True, Detected.NO: False, Detected.UNKNOWN: None}[wanted])


_OUTCOMES: dict[CheckStatus, tuple[Outcome, ...]] = {
    CheckStatus.PENDING: (Outcome.PENDING,),
    CheckStatus.DISPATCHED: (Outcome.PENDING,),
    CheckStatus.RUNNING: (Outcome.PENDING,),
    CheckStatus.FAILED: (Outcome.INCONCLUSIVE,),
    CheckStatus.CANCELLED: (Outcome.INCONCLUSIVE,),
}

_OF_OPERATION: dict[str, Callable[[Any], Condition]] = {
    "name": _part(_operation.name),
    "state": _operation.state.__eq__,
    "source": _operation.source.__eq__,
    "since": _operation.created_at.__ge__,
    "until": _operation.created_at.__lt__,
}
_OF_EXECUTION: dict[str, Callable[[Any], Condition]] = {
    "operation_id": _execution.operation_id.__eq__,
    "link_id": _execution.link_id.__eq__,
    "host": _execution.agent_host.__eq__,
    "paw": _execution.agent_paw.__eq__,
    "status": _execution.status.__eq__,
    "states": _execution.link_state.in_,
    "run_states": _execution.run_state.in_,
    "technique": _technique,
    "tactic": _execution.tactic.__eq__,
    "platform": _execution.platform.__eq__,
    "cleanup": _execution.cleanup.is_,
    "command": _part(_execution.command),
    "since": _execution.started_at.__ge__,
    "until": _execution.started_at.__lt__,
}
_OF_CHECK: dict[str, Callable[[Any], Condition]] = {
    "operation_id": _check.operation_id.__eq__,
    "execution_id": _check.execution_result_id.__eq__,
    "expectation_id": _check.expectation_id.__eq__,
    "type": _check.detection_type.__eq__,
    "platform": _check.detection_platform.__eq__,
    "expect": _check.expect.__eq__,
    "statuses": _status,
    "outcomes": _check.outcome.in_,
    "retryable": _retryable,
    "since": _check.created_at.__ge__,
    "until": _check.created_at.__lt__,
}
_OF_RESULT: dict[str, Callable[[Any], Condition]] = {
    "check_id": _result.detection_execution_id.__eq__,
    "outcomes": _result.outcome.in_,
    "reasons": _result.reason.in_,
    "detected": _detected,
    "prevention": _result.prevention.__eq__,
    "met": _result.met.__eq__,
    "overridden": _result.overridden.is_,
    "source": _result.result_source.__eq__,
    "since": _result.created_at.__ge__,
    "until": _result.created_at.__lt__,
}
