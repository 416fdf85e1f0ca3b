"""What lists are narrowed to, as parameters of a query: a dependency for each kind of row."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from litestar.params import QueryParameter

from checking_core.contracts import CheckStatus, Expect, LinkState, Met, Outcome, Prevention, Reason, RunState
from checking_core.errors import RejectedMessageError
from checking_core.storage.filters import CheckFilter, Detected, ExecutionFilter, OperationFilter, ResultFilter

__all__ = ["Since", "Until", "aware", "check_filter", "execution_filter", "operation_filter", "query", "result_filter"]


def query(about: str, *, name: str | None = None, longest: int | None = None) -> QueryParameter:
    """A parameter of a query: what it means, its name if that is no name of Python, the most characters of a text."""
    return QueryParameter(name=name, description=about, max_length=longest)


Since: TypeAlias = Annotated[datetime | None, query("Not before this time", name="from")]
Until: TypeAlias = Annotated[datetime | None, query("Before this time", name="to")]
_OperationId: TypeAlias = Annotated[UUID | None, query("`operation_id` of an operation")]
_Host: TypeAlias = Annotated[str | None, query("Host of the agent", longest=255)]
_Paw: TypeAlias = Annotated[str | None, query("Id of the agent", longest=255)]
_Technique: TypeAlias = Annotated[str | None, query("ATT&CK technique, with its sub-techniques", longest=255)]
_Tactic: TypeAlias = Annotated[str | None, query("ATT&CK tactic", longest=1_000)]
_Command: TypeAlias = Annotated[str | None, query("Part of the command", longest=1_000)]
_Type: TypeAlias = Annotated[str | None, query("api, windows, linux or darwin", name="type", longest=20)]
_Backend: TypeAlias = Annotated[str | None, query("Backend", name="platform", longest=40)]
_Outcomes: TypeAlias = Annotated[list[Outcome] | None, query("Headline; of several any", name="outcome")]


def operation_filter(
    *,
    name: Annotated[str | None, query("Part of the name", longest=1_000)] = None,
    in_state: Annotated[str | None, query("Only those in this state", name="state", longest=1_000)] = None,
    source: Annotated[str | None, query("Where it was told", longest=255)] = None,
    since: Since = None,
    until: Until = None,
) -> OperationFilter:
    """Operations; ``from`` and ``to`` enclose when they were stored."""
    return OperationFilter(
        name=name, state=in_state, source=source, since=aware("from", since), until=aware("to", until)
    )


def execution_filter(  # noqa: PLR0913 - each is a parameter of the query
    *,
    operation_id: _OperationId = None,
    host: _Host = None,
    paw: _Paw = None,
    status: Annotated[int | None, query("Status as the agent told it: 0 is success")] = None,
    states: Annotated[list[LinkState] | None, query("State of the link; of several any", name="state")] = None,
    run_states: Annotated[list[RunState] | None, query("What became of it; of several any", name="run_state")] = None,
    technique: _Technique = None,
    tactic: _Tactic = None,
    platform: Annotated[str | None, query("Operating system", longest=255)] = None,
    cleanup: Annotated[bool | None, query("Steps that clean up, or the others")] = None,
    command: _Command = None,
    since: Since = None,
    until: Until = None,
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
        since=aware("from", since),
        until=aware("to", until),
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
    expectation_id: Annotated[str | None, query("Id of the expectation", longest=1_000)] = None,
    expect: Annotated[Expect | None, query("Outcome that is wanted")] = None,
    statuses: Annotated[list[CheckStatus] | None, query("Of several any", name="status")] = None,
    outcomes: _Outcomes = None,
    since: Since = None,
    until: Until = None,
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
        since=aware("from", since),
        until=aware("to", until),
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
    reasons: Annotated[list[Reason] | None, query("Why; of several any", name="reason")] = None,
    detected: Annotated[Detected | None, query("Alert or rule: yes, a proven no, or neither")] = None,
    prevention: Annotated[Prevention | None, query("Whether the product stopped it")] = None,
    met: Annotated[Met | None, query("The outcome measured against what was wanted")] = None,
    overridden: Annotated[bool | None, query("Verdicts of a person, or the others")] = None,
    source: Annotated[str | None, query("Who gave it", longest=255)] = None,
    since: Since = None,
    until: Until = None,
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
        since=aware("from", since),
        until=aware("to", until),
        of=CheckFilter(operation_id=operation_id, type=kind, platform=backend, ran=ran),
    )


def aware(field: str, value: datetime | None) -> datetime | None:
    """The same time. Raises ``RejectedMessageError`` without an offset: it would mean another hour elsewhere."""
    if value is not None and value.tzinfo is None:
        raise RejectedMessageError(field, "needs an offset: end it with Z, or with +01:00, in a URL %2B01:00")
    return value
