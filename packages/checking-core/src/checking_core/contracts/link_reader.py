"""The liberal reader of red-team messages: every spelling that existing publishers write, into one canonical form.

Source of the spellings: docs/reference/messages.md. Whatever cannot be read is a ``RejectedMessageError`` that
names the field; whatever can be read but not used (a broken hint) is kept with the problem in words.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

import msgspec

from checking_core.contracts.hints import read_hints
from checking_core.contracts.instant import in_utc
from checking_core.contracts.link_result import (
    Agent,
    Clock,
    ExecutionFacts,
    Hint,
    LinkMessage,
    LinkState,
    MessageType,
    OperationFacts,
    Procedure,
    RunState,
    identity,
)
from checking_core.contracts.link_wire import (
    Number,
    WireAbility,
    WireAgent,
    WireExecution,
    WireMessage,
    WireOperation,
)
from checking_core.contracts.output import read_output
from checking_core.errors import RejectedMessageError

__all__ = ["canonical"]

_KINDS = {kind.value: kind for kind in MessageType}
_STATE_OF_STATUS = {
    0: LinkState.SUCCESS,
    1: LinkState.ERROR,
    124: LinkState.TIMEOUT,
    -1: LinkState.PAUSE,
    -2: LinkState.DISCARD,
    -3: LinkState.EXECUTE,
    -4: LinkState.UNTRUSTED,
    -5: LinkState.HIGH_VIZ,
}
_STATUS_OF_STATE = {state: status for status, state in _STATE_OF_STATUS.items()}
_STATES = {state.value: state for state in LinkState}
_SPELLINGS = _STATES | {"FAILED": LinkState.ERROR, "FAILURE": LinkState.ERROR, "RUNNING": LinkState.EXECUTE}
_RAN = {LinkState.SUCCESS: RunState.RAN, LinkState.ERROR: RunState.FAILED, LinkState.TIMEOUT: RunState.TIMED_OUT}
_NO_AGENT = Agent()
_NO_ABILITY = WireAbility()
_REMOVED = "[removed: unreadable, or carried credentials]"


def canonical(wire: WireMessage, text: str, *, received_at: datetime) -> LinkMessage:
    """The canonical form of a decoded message.

    Args:
        wire: the message as decoded.
        text: the JSON it was decoded from, kept as ``raw`` unless its hints carry credentials.
        received_at: aware; stands in where the message tells no time at all.

    Raises:
        RejectedMessageError: a field is missing or wrong.
    """
    if wire.v != 1:
        raise RejectedMessageError("v", "is not known; this release reads version 1")
    kind = _KINDS.get(wire.message_type)
    if kind is None:
        raise RejectedMessageError("message_type", f"is not known; use one of {', '.join(_KINDS)}")
    told = in_utc("timestamp", wire.timestamp)
    operation = _operation(wire.operation, wire.to_state)
    if kind is MessageType.OPERATION_STATE:
        return LinkMessage(message_type=kind, timestamp=told or received_at, operation=operation, raw=text)
    if wire.execution is None:
        raise RejectedMessageError("execution", f"is missing; a {kind.value} message carries one")
    hints, clean = read_hints(wire.execution.detections)
    execution = _execution(wire.execution, operation, told, received_at, hints)
    return LinkMessage(
        message_type=kind,
        timestamp=told or execution.finished_at or execution.started_at,
        operation=operation,
        execution=execution,
        raw=text if clean else _without_hints(text),
    )


def _operation(wire: WireOperation, to_state: str | None) -> OperationFacts:
    source = wire.source or "caldera"
    given = _told_id(wire.operation_id, wire.id)
    if not given:
        raise RejectedMessageError("operation.operation_id", "is missing; give the operation's id")
    operation_id, source_id = _named(source, given)
    start = wire.operation_start or wire.start
    return OperationFacts(
        operation_id=operation_id,
        source=source,
        source_id=source_id,
        name=wire.name or "",
        operation_start=in_utc("operation.operation_start", start),
        naive_start=start is not None and start.tzinfo is None,
        state=to_state or wire.state,
    )


def _execution(
    wire: WireExecution,
    operation: OperationFacts,
    told: datetime | None,
    received_at: datetime,
    hints: tuple[Hint, ...],
) -> ExecutionFacts:
    host = (wire.agent_host or "").strip()
    if not host:
        raise RejectedMessageError("execution.agent_host", "is missing; matching needs the host the command ran on")
    status = _number("execution.status", wire.status)
    state = _link_state(wire.link_state or wire.state, status)
    agent_time = in_utc("execution.agent_reported_time", wire.agent_reported_time)
    at_least = in_utc("execution.started_at_least", wire.started_at_least)
    started, finished, clock = _times(wire, agent_time or at_least, told or received_at)
    anchor = started if told or clock is not Clock.MESSAGE else None
    link_id, source_id = _link_id(wire, operation, host, anchor)
    command = wire.command or ""
    return ExecutionFacts(
        link_id=link_id,
        source_id=source_id,
        agent_host=host,
        agent_paw=wire.agent_paw or "",
        agent=_agent(wire.agent),
        command=command,
        plaintext_command=wire.plaintext_command,
        executor=wire.executor,
        platform=wire.platform,
        pid=_number("execution.pid", wire.pid),
        status=_STATUS_OF_STATE[state] if status is None else status,
        link_state=state,
        run_state=_run_state(state, collected=bool(wire.collect)),
        cleanup=bool(wire.cleanup),
        procedure=_procedure(wire, wire.ability or _NO_ABILITY, wire.plaintext_command or command),
        started_at=started,
        finished_at=finished,
        started_at_least=at_least,
        agent_reported_time=agent_time,
        clock=clock,
        result_data=read_output(wire.result_data),
        hints=hints,
    )


# --- identity ------------------------------------------------------------------------------------------------


def _told_id(first: str | int | None, second: str | int | None) -> str:
    """The first of two spellings that says something."""
    for value in (first, second):
        if value is not None and (text := str(value).strip()):
            return text
    return ""


def _named(source: str, given: str) -> tuple[UUID, str | None]:
    """The id, and the source's own text where that is no UUID."""
    try:
        return msgspec.convert(given, UUID), None
    except msgspec.ValidationError:
        return identity(source, given), given


def _link_id(
    wire: WireExecution, operation: OperationFacts, host: str, started: datetime | None
) -> tuple[UUID, str | None]:
    """The link's id; where it has none, one derived from what was done, the same for every repetition."""
    if given := _told_id(wire.link_id, wire.id):
        return _named(operation.source, given)
    start = started.isoformat() if started else ""
    parts = (str(operation.operation_id), host, start, wire.command or "", str(wire.order or 0))
    return identity(operation.source, "\n".join(parts)), None


# --- state and time ------------------------------------------------------------------------------------------


def _link_state(text: str | None, status: int | None) -> LinkState:
    if text:
        state = _SPELLINGS.get(text.strip().upper())
        if state is None:
            raise RejectedMessageError("execution.link_state", f"is not known; use one of {', '.join(_STATES)}")
        return state
    if status is None:
        raise RejectedMessageError("execution.link_state", "is missing; give link_state, or status as Caldera's number")
    if status not in _STATE_OF_STATUS:
        known = ", ".join(map(str, _STATE_OF_STATUS))
        raise RejectedMessageError("execution.status", f"is not known; use one of {known}, or give link_state")
    return _STATE_OF_STATUS[status]


def _run_state(state: LinkState, *, collected: bool) -> RunState:
    """Handed out and never answered may have run; discarded, paused or never handed out did not."""
    if state in _RAN:
        return _RAN[state]
    if collected and state in (LinkState.EXECUTE, LinkState.UNTRUSTED):
        return RunState.LOST
    return RunState.NEVER_RAN


def _times(wire: WireExecution, agent: datetime | None, timestamp: datetime) -> tuple[datetime, datetime | None, Clock]:
    """Start, end, and whose clock they are on.

    The server's collect..finish always contains the run. The agent's clock comes next, unless it claims a start
    after the end, which proves it wrong; then the server's decide..finish; the message's own time is the last.
    """
    collect = in_utc("execution.collect", wire.collect)
    finish = in_utc("execution.finish", wire.finish)
    decide = in_utc("execution.decide", wire.decide)
    if collect is not None:
        return collect, max(finish, collect) if finish else None, Clock.SERVER
    end = finish or timestamp
    if agent is not None and agent <= end:
        return agent, finish, Clock.AGENT
    if decide is not None and decide <= end:
        return decide, finish, Clock.SERVER
    return end, finish, Clock.SERVER if finish else Clock.MESSAGE


# --- the rest ------------------------------------------------------------------------------------------------


def _number(field: str, value: int | str | None) -> int | None:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.convert(value, Number, strict=False) if value else None
    except msgspec.ValidationError:
        raise RejectedMessageError(field, "is no whole number that fits") from None


def _agent(wire: WireAgent | None) -> Agent:
    if wire is None:
        return _NO_AGENT
    pid = _number("execution.agent.pid", wire.pid)
    return Agent(ips=tuple(wire.ips or ()), user=wire.user, pid=pid, exe_name=wire.exe_name)


def _procedure(wire: WireExecution, ability: WireAbility, command: str) -> Procedure:
    recipe = " ".join((wire.command_template or command).split())
    return Procedure(
        id=ability.ability_id,
        name=ability.name or "",
        tactic=ability.tactic,
        technique_id=ability.technique_id,
        technique_name=ability.technique_name,
        fingerprint=hashlib.sha256(f"{wire.executor or ''}\n{recipe}".encode()).hexdigest()[:32],
    )


def _without_hints(text: str) -> str:
    """The message without its hints and the copies of them that publishers send along."""
    message = msgspec.json.decode(text)
    execution = message["execution"]
    for holder in (execution, execution.get("ability") or {}):
        holder.update(dict.fromkeys(holder.keys() & {"detections", "additional_info"}, _REMOVED))
    return msgspec.json.encode(message).decode()
