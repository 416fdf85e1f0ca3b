"""What lists are narrowed to, as parameters of a query: a dependency for each kind of row."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from litestar.params import QueryParameter

from checking_core.contracts import CheckStatus, Expect, LinkState, Met, Outcome, Prevention, Reason, RunState
from checking_core.errors import RejectedMessageError
from checking_core.storage.filters import CheckFilter, Detected, ExecutionFilter, OperationFilter, ResultFilter

__all__ = ["check_filter", "execution_filter", "operation_filter", "result_filter"]


def _query(about: str, *, name: str | None = None, longest: int | None = None) -> QueryParameter:
    return QueryParameter(name=name, description=about, max_length=longest)


_Since: TypeAlias = Annotated[datetime | None, _query("Not before this time", name="from")]
_Until: TypeAlias = Annotated[datetime | None, _query("Before this time", name="to")]
_OperationId: TypeAlias = Annotated[UUID | None, _query("`operation_id` of an operation")]
_Host: TypeAlias = Annotated[str | None, _query("Host of the agent", longest=255)]
_Paw: TypeAlias = Annotated[str | None, _query("Id of the agent", longest=255)]
_Technique: TypeAlias = Annotated[str | None, _query("ATT&CK technique, with its sub-techniques", longest=255)]
_Tactic: TypeAlias = Annotated[str | None, _query("ATT&CK tactic", longest=1_000)]
_Command: TypeAlias = Annotated[str | None, _query("Part of the command", longest=1_000)]
_Type: TypeAlias = Annotated[str | None, _query("api, windows, linux or darwin", name="type", longest=20)]
_Backend: TypeAlias = Annotated[str | None, _query("Backend", name="platform", longest=40)]
_Outcomes: TypeAlias = Annotated[list[Outcome] | None, _query("Headline; of several any", name="outcome")]


def operation_filter(
    *,
    name: Annotated[str | None, _query("Part of the name", longest=1_000)] = None,
    in_state: Annotated[str | None, _query("Only those in this state", name="state", longest=1_000)] = None,
    source: Annotated[str | None, _query("Where it was told", longest=255)] = None,
    since: _Since = None,
    until: _Until = None,
) -> OperationFilter:
    """Operations; ``from`` and ``to`` enclose when they were stored."""
    return OperationFilter(
        name=name, state=in_state, source=source, since=_aware("from", since), until=_aware("to", until)
    )


def execution_filter(  # noqa: PLR0913 - each is a parameter of the query
    *,
    operation_id: _OperationId = None,
    host: _Host = None,
    paw: _Paw = None,
    status: Annotated[int | None, _query("Status as the agent told it: 0 is success")] = None,
    states: Annotated[list[LinkState] | None, _query("State of the link; of several any", name="state")] = None,
    run_states: Annotated[list[RunState] | None, _query("What became of it; of several any", name="run_state")] = None,
    technique: _Technique = None,
    tactic: _Tactic = None,
    platform: Annotated[str | None, _query("Operating system", longest=255)] = None,
    cleanup: Annotated[bool | None, _query("Steps that clean up, or the others")] = None,
    command: _Command = None,
    since: _Since = None,
    until: _Until = None,
) -> ExecutionFilter:
    """Executions; ``from`` and ``to`` enclose when they started."""
    return ExecutionFilter(
        operation_id=operation_id,
        host=host,
        paw=paw,
        status=status,
        states=states,
        run_states=run_states,
        technique=technique,
        tactic=tactic,
        platform=platform,
        cleanup=cleanup,
        command=command,
        since=_aware("from", since),
        until=_aware("to", until),
    )


def check_filter(  # noqa: PLR0913 - each is a parameter of the query
    *,
    operation_id: _OperationId = None,
    host: _Host = None,
    paw: _Paw = None,
    technique: _Technique = None,
    tactic: _Tactic = None,
    command: _Command = None,
    kind: _Type = None,
    backend: _Backend = None,
    expectation_id: Annotated[str | None, _query("Id of the expectation", longest=1_000)] = None,
    expect: Annotated[Expect | None, _query("Outcome that is wanted")] = None,
    statuses: Annotated[list[CheckStatus] | None, _query("Of several any", name="status")] = None,
    outcomes: _Outcomes = None,
    since: _Since = None,
    until: _Until = None,
) -> CheckFilter:
    """Checks; ``from`` and ``to`` enclose when they were stored."""
    return CheckFilter(
        operation_id=operation_id,
        type=kind,
        platform=backend,
        expectation_id=expectation_id,
        expect=expect,
        statuses=statuses,
        outcomes=outcomes,
        since=_aware("from", since),
        until=_aware("to", until),
        ran=ExecutionFilter(host=host, paw=paw, technique=technique, tactic=tactic, command=command),
    )


def result_filter(  # noqa: PLR0913 - each is a parameter of the query
    *,
    operation_id: _OperationId = None,
    host: _Host = None,
    paw: _Paw = None,
    technique: _Technique = None,
    tactic: _Tactic = None,
    command: _Command = None,
    kind: _Type = None,
    backend: _Backend = None,
    outcomes: _Outcomes = None,
    reasons: Annotated[list[Reason] | None, _query("Why; of several any", name="reason")] = None,
    detected: Annotated[Detected | None, _query("Alert or rule: yes, a proven no, or neither")] = None,
    prevention: Annotated[Prevention | None, _query("Whether the product stopped it")] = None,
    met: Annotated[Met | None, _query("The outcome measured against what was wanted")] = None,
    overridden: Annotated[bool | None, _query("Verdicts of a person, or the others")] = None,
    source: Annotated[str | None, _query("Who gave it", longest=255)] = None,
    since: _Since = None,
    until: _Until = None,
) -> ResultFilter:
    """Results; ``from`` and ``to`` enclose when they were stored."""
    ran = ExecutionFilter(host=host, paw=paw, technique=technique, tactic=tactic, command=command)
    return ResultFilter(
        outcomes=outcomes,
        reasons=reasons,
        detected=detected,
        prevention=prevention,
        met=met,
        overridden=overridden,
        source=source,
        since=_aware("from", since),
        until=_aware("to", until),
        of=CheckFilter(operation_id=operation_id, type=kind, platform=backend, ran=ran),
    )


def _aware(field: str, value: datetime | None) -> datetime | None:
    """A time needs its offset: a naive one means another hour elsewhere."""
    if value is not None and value.tzinfo is None:
        raise RejectedMessageError(field, "needs an offset: end it with Z, or with +01:00")
    return value
