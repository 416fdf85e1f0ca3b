"""The liberal reader of red-team messages: every spelling that existing publishers write, into one canonical form.

Source of the spellings: docs/reference/messages.md. Whatever cannot be read is a ``RejectedMessageError`` that
names the field; whatever can be read but not used (a broken hint) is kept with the problem in words.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode
from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from checking_core.contracts.hints import has_secrets, read_hints
from checking_core.contracts.link_result import (
    Agent,
    Clock,
    ExecutionFacts,
    LinkMessage,
    LinkState,
    MessageType,
    OperationFacts,
    Procedure,
    RunState,
    identity,
)
from checking_core.contracts.text import check_shape
from checking_core.errors import RejectedMessageError

__all__ = ["WireMessage", "canonical"]

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=1000)]
HostName: TypeAlias = Annotated[str, msgspec.Meta(max_length=255)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**63 - 1)]
Identifier: TypeAlias = Annotated[str, msgspec.Meta(max_length=255)] | int


class _WireOperation(msgspec.Struct, frozen=True):
    operation_id: Identifier | None = None
    id: Identifier | None = None
    name: Name | None = None
    operation_start: str | None = None
    start: str | None = None
    state: Name | None = None
    source: HostName | None = None


class _WireAbility(msgspec.Struct, frozen=True):
    ability_id: Name | None = None
    name: Name | None = None
    tactic: Name | None = None
    technique_id: HostName | None = None
    technique_name: Name | None = None


class _WireAgent(msgspec.Struct, frozen=True):
    ips: list[HostName] | None = None
    user: Name | None = None
    pid: Number | str | None = None
    exe_name: Name | None = None


class _WireExecution(msgspec.Struct, frozen=True):
    link_id: Identifier | None = None
    id: Identifier | None = None
    agent_host: HostName | None = None
    agent_paw: HostName | None = None
    agent: _WireAgent | None = None
    command: str | None = None
    plaintext_command: str | None = None
    command_template: str | None = None
    executor: Name | None = None
    platform: HostName | None = None
    pid: Number | str | None = None
    status: Number | str | None = None
    link_state: HostName | None = None
    state: HostName | None = None
    cleanup: bool | int = False
    decide: str | None = None
    collect: str | None = None
    finish: str | None = None
    agent_reported_time: str | None = None
    started_at_least: str | None = None
    ability: _WireAbility | None = None
    result_data: Any = None
    detections: Any = None
    order: Number = 0


class WireMessage(msgspec.Struct, frozen=True):
    """A message as it stands on the wire: everything optional, nothing interpreted."""

    message_type: str
    operation: _WireOperation
    timestamp: str | None = None
    execution: _WireExecution | None = None
    from_state: str | None = None
    to_state: Name | None = None
    v: int = 1


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
_OTHER_SPELLINGS = {"FAILED": LinkState.ERROR, "FAILURE": LinkState.ERROR, "RUNNING": LinkState.EXECUTE}
_STATUS_OF_STATE = {state: status for status, state in _STATE_OF_STATUS.items()}
_RAN = {LinkState.SUCCESS: RunState.RAN, LinkState.ERROR: RunState.FAILED, LinkState.TIMEOUT: RunState.TIMED_OUT}


def canonical(wire: WireMessage, body: bytes, *, received_at: datetime) -> LinkMessage:
    """The canonical form of a decoded message.

    Args:
        wire: the message as decoded.
        body: its bytes, kept as ``raw``.
        received_at: aware; stands in for a missing ``timestamp``.

    Raises:
        RejectedMessageError: a field is missing or wrong.
    """
    if wire.v != 1:
        raise RejectedMessageError("v", "this version of the message is not known; this release reads version 1")
    kind = _message_type(wire.message_type)
    timestamp = _instant("timestamp", wire.timestamp) or received_at
    operation = _operation(wire.operation, wire.to_state)
    execution = None
    if kind is not MessageType.OPERATION_STATE:
        if wire.execution is None:
            raise RejectedMessageError("execution", f"is missing; a {kind.value} message carries one")
        execution = _execution(wire.execution, operation, timestamp)
    return LinkMessage(
        message_type=kind,
        timestamp=timestamp,
        operation=operation,
        execution=execution,
        raw=_raw(wire, body, execution),
    )


def _message_type(text: str) -> MessageType:
    try:
        return MessageType(text)
    except ValueError:
        known = ", ".join(MessageType)
        raise RejectedMessageError("message_type", f"unknown; use one of {known}") from None


def _operation(wire: _WireOperation, to_state: str | None) -> OperationFacts:
    source = wire.source or "caldera"
    given = wire.operation_id if wire.operation_id not in (None, "") else wire.id
    if given in (None, ""):
        raise RejectedMessageError("operation.operation_id", "is missing; give the operation's id")
    operation_id = identity(source, str(given))
    start_text = wire.operation_start or wire.start
    return OperationFacts(
        operation_id=operation_id,
        source=source,
        source_id=None if _is_uuid(str(given), operation_id) else str(given),
        name=wire.name or "",
        operation_start=_instant("operation.operation_start", start_text),
        naive_start=_is_naive(start_text),
        state=to_state or wire.state,
    )


def _execution(wire: _WireExecution, operation: OperationFacts, timestamp: datetime) -> ExecutionFacts:
    if not wire.agent_host:
        raise RejectedMessageError("execution.agent_host", "is missing; matching needs the host the command ran on")
    status = _number("execution.status", wire.status)
    link_state = _link_state(wire.link_state or wire.state, status)
    collect = _instant("execution.collect", wire.collect)
    finish = _instant("execution.finish", wire.finish)
    agent_time = _instant("execution.agent_reported_time", wire.agent_reported_time)
    at_least = _instant("execution.started_at_least", wire.started_at_least)
    started, finished, clock = _times(collect, finish, agent_time or at_least, timestamp)
    link_id, source_id = _link_id(wire, operation, started)
    command = wire.command or ""
    check_shape("execution.result_data", wire.result_data)
    return ExecutionFacts(
        link_id=link_id,
        source_id=source_id,
        agent_host=wire.agent_host,
        agent_paw=wire.agent_paw or "",
        agent=_agent(wire.agent),
        command=command,
        plaintext_command=wire.plaintext_command,
        executor=wire.executor,
        platform=wire.platform,
        pid=_number("execution.pid", wire.pid),
        status=status if status is not None else _STATUS_OF_STATE[link_state],
        link_state=link_state,
        run_state=_run_state(link_state, collect),
        cleanup=bool(wire.cleanup),
        procedure=_procedure(wire.ability, wire.executor, wire.command_template, wire.plaintext_command or command),
        started_at=started,
        finished_at=finished,
        started_at_least=at_least,
        agent_reported_time=agent_time,
        clock=clock,
        result_data=_result_data(wire.result_data),
        hints=read_hints(wire.detections),
    )


def _link_id(wire: _WireExecution, operation: OperationFacts, started: datetime) -> tuple[UUID, str | None]:
    given = wire.link_id if wire.link_id not in (None, "") else wire.id
    if given in (None, ""):
        parts = (str(operation.operation_id), wire.agent_host, started.isoformat(), wire.command, str(wire.order))
        return identity(operation.source, "\n".join(part or "" for part in parts)), None
    link_id = identity(operation.source, str(given))
    return link_id, None if _is_uuid(str(given), link_id) else str(given)


def _is_uuid(text: str, value: UUID) -> bool:
    return text.lower().replace("-", "") == value.hex


def _link_state(text: str | None, status: int | None) -> LinkState:
    if text:
        try:
            return _OTHER_SPELLINGS.get(text.upper()) or LinkState(text.upper())
        except ValueError:
            known = ", ".join(LinkState)
            raise RejectedMessageError("execution.link_state", f"unknown; use one of {known}") from None
    if status is None:
        raise RejectedMessageError("execution.link_state", "is missing; give link_state, or status as Caldera's number")
    if status not in _STATE_OF_STATUS:
        known = ", ".join(map(str, _STATE_OF_STATUS))
        raise RejectedMessageError("execution.status", f"unknown; use one of {known}, or give link_state")
    return _STATE_OF_STATUS[status]


def _run_state(state: LinkState, collect: datetime | None) -> RunState:
    """Handed out and never answered may have run; discarded, paused or never handed out did not."""
    if state in _RAN:
        return _RAN[state]
    if state in (LinkState.EXECUTE, LinkState.UNTRUSTED) and collect is not None:
        return RunState.LOST
    return RunState.NEVER_RAN


def _times(
    collect: datetime | None, finish: datetime | None, agent: datetime | None, timestamp: datetime
) -> tuple[datetime, datetime | None, Clock]:
    """The server's collect..finish always contains the run; the agent's clock comes next, the message's last."""
    if collect is not None:
        return collect, max(finish, collect) if finish else None, Clock.SERVER
    if agent is not None:
        return agent, max(finish, agent) if finish else None, Clock.AGENT
    return finish or timestamp, finish or timestamp, Clock.SERVER if finish else Clock.MESSAGE


def _agent(wire: _WireAgent | None) -> Agent:
    if wire is None:
        return Agent()
    pid = _number("execution.agent.pid", wire.pid)
    return Agent(ips=tuple(wire.ips or ()), user=wire.user, pid=pid, exe_name=wire.exe_name)


def _procedure(ability: _WireAbility | None, executor: str | None, template: str | None, command: str) -> Procedure:
    recipe = " ".join((template or command).split())
    fingerprint = hashlib.sha256(f"{executor or ''}\n{recipe}".encode()).hexdigest()[:32]
    if ability is None:
        return Procedure(fingerprint=fingerprint)
    return Procedure(
        id=ability.ability_id,
        name=ability.name or "",
        tactic=ability.tactic,
        technique_id=ability.technique_id,
        technique_name=ability.technique_name,
        fingerprint=fingerprint,
    )


def _instant(field: str, text: str | None) -> datetime | None:
    """An aware UTC time from ISO 8601 text; empty is missing, naive is UTC."""
    if not text:
        return None
    try:
        value = msgspec.convert(text, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise RejectedMessageError(field, "is no ISO 8601 time; write 2026-01-31T12:00:00Z") from None


def _is_naive(text: str | None) -> bool:
    return bool(text) and msgspec.convert(text, datetime).tzinfo is None


def _number(field: str, value: int | str | None) -> int | None:
    if value is None or value == "":
        return None
    try:
        return msgspec.convert(value, Number, strict=False)
    except msgspec.ValidationError:
        raise RejectedMessageError(field, "is no whole number that fits") from None


def _result_data(value: Any) -> Any:
    """Object, JSON text, base64 of JSON, or plain text: ``{"raw": text}``."""
    if not isinstance(value, str):
        return value
    if not value:
        return None
    found = _json_object(value.encode())
    if found is None:
        try:
            found = _json_object(b64decode(value, validate=True))
        except binascii.Error:
            found = None
    return found if found is not None else {"raw": value}


def _json_object(body: bytes) -> dict[str, Any] | None:
    if not body.lstrip().startswith(b"{"):
        return None
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
        check_shape("execution.result_data", found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found


def _raw(wire: WireMessage, body: bytes, execution: ExecutionFacts | None) -> str:
    """The message as it came, unless its hints carried secrets: then without its hints."""
    if execution is not None and wire.execution is not None and has_secrets(wire.execution.detections):
        kept = msgspec.json.decode(body)
        kept["execution"]["detections"] = "[removed: carried credentials]"
        return msgspec.json.encode(kept).decode()
    return body.decode()
