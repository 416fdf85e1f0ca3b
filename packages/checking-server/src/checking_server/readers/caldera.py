"""What MITRE Caldera exports, as the messages that its publishers would have sent. Pure.

An operation (``GET /api/v2/operations/{id}``) tells everything but the output. A report tells the output, but neither
the operation's id nor when a command was handed out nor which commands were cleanup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from checking_core.contracts import MessageType, encode

__all__ = ["Converted", "operation_messages", "report_messages"]

MAX_OUTPUT = 64 * 1024
"""Characters kept of each output, so that every message stays within the size limit."""

_SOURCE = "caldera"
_KNOWN_STATUS = frozenset({0, 1, 124, -1, -2, -3, -4, -5})


class Converted(msgspec.Struct, frozen=True):
    """Messages in the order of the export, and how many abilities Caldera skipped: those have no link."""

    messages: tuple[bytes, ...]
    skipped: int = 0


class _Agent(msgspec.Struct):
    paw: str
    host: str | None = None
    host_ip_addrs: list[str] | None = None
    username: str | None = None
    pid: int | str | None = None
    exe_name: str | None = None


class _Ability(msgspec.Struct):
    ability_id: str | None = None
    name: str | None = None
    tactic: str | None = None
    technique_id: str | None = None
    technique_name: str | None = None
    additional_info: dict[str, Any] | None = None


class _Executor(msgspec.Struct):
    name: str | None = None
    platform: str | None = None
    command: str | None = None


class _Link(msgspec.Struct):
    id: str | int
    paw: str
    status: int
    host: str | None = None
    command: str | None = None
    plaintext_command: str | None = None
    pid: int | str | None = None
    decide: str | None = None
    collect: str | None = None
    finish: str | None = None
    agent_reported_time: str | None = None
    cleanup: int | bool = 0
    ability: _Ability = msgspec.field(default_factory=_Ability)
    executor: _Executor = msgspec.field(default_factory=_Executor)


class _Operation(msgspec.Struct):
    id: str | int
    chain: list[_Link]
    name: str | None = None
    start: str | None = None
    state: str | None = None
    host_group: list[_Agent] = []


class _Attack(msgspec.Struct):
    tactic: str | None = None
    technique_id: str | None = None
    technique_name: str | None = None


class _Step(msgspec.Struct):
    status: int
    link_id: str | int | None = None
    ability_id: str | None = None
    name: str | None = None
    command: str | None = None
    plaintext_command: str | None = None
    delegated: str | None = None
    run: str | None = None
    platform: str | None = None
    executor: str | None = None
    pid: int | str | None = None
    attack: _Attack = msgspec.field(default_factory=_Attack)
    output: Any = None
    agent_reported_time: str | None = None


class _Steps(msgspec.Struct):
    steps: list[_Step] = []


class _Report(msgspec.Struct):
    name: str
    start: str
    steps: dict[str, _Steps]
    finish: str | None = None
    host_group: list[_Agent] = []
    skipped_abilities: list[dict[str, list[Any]]] = []


def operation_messages(document: Mapping[str, Any]) -> Converted:
    """The messages of an operation as the REST API gives it.

    Raises:
        msgspec.ValidationError: it is no operation of Caldera; the text names the field.
    """
    operation = msgspec.convert(document, _Operation)
    told = {
        "operation_id": operation.id,
        "name": operation.name,
        "operation_start": operation.start,
        "state": operation.state,
        "source": _SOURCE,
    }
    agents = {agent.paw: agent for agent in operation.host_group}
    executions = [_of_link(link, agents.get(link.paw)) for link in operation.chain]
    return Converted(_messages(told, executions, None))


def report_messages(document: Mapping[str, Any]) -> Converted:
    """The messages of a report as the REST API or the user interface gives it.

    A report has no id: name and start stand for it, so that the same report is the same operation each time.

    Raises:
        msgspec.ValidationError: it is no report of Caldera; the text names the field.
    """
    report = msgspec.convert(document, _Report)
    told = {
        "operation_id": f"{report.name[:200]} {report.start}",
        "name": report.name,
        "operation_start": report.start,
        "state": "finished" if report.finish else None,
        "source": _SOURCE,
    }
    agents = {agent.paw: agent for agent in report.host_group}
    executions = [
        _of_step(step, order, paw, agents.get(paw))
        for paw, steps in report.steps.items()
        for order, step in enumerate(steps.steps)
    ]
    skipped = sum(len(abilities) for entry in report.skipped_abilities for abilities in entry.values())
    return Converted(_messages(told, executions, report.finish), skipped)


def _messages(operation: dict[str, Any], executions: Iterable[dict[str, Any]], finish: str | None) -> tuple[bytes, ...]:
    """One message for each execution, then the operation's state. Times come from the export alone: the same file read
    twice gives the same messages, and those change nothing the second time.
    """
    start = operation["operation_start"]
    timed = [(_last_time(execution) or start, execution) for execution in executions]
    last = max((time for time, _ in timed if time), default=start)
    links = (
        {"message_type": _kind(execution), "timestamp": time, "operation": operation, "execution": execution}
        for time, execution in timed
    )
    state = {
        "message_type": MessageType.OPERATION_STATE,
        "timestamp": finish or last,
        "operation": operation,
        "to_state": operation["state"],
    }
    return tuple(encode({"v": 1, **message}) for message in (*links, state))


def _last_time(execution: dict[str, Any]) -> str | None:
    """When the newest thing that the export tells of an execution happened."""
    times = (execution.get(key) for key in ("finish", "collect", "agent_reported_time", "decide"))
    return next((time for time in times if time), None)


def _kind(execution: dict[str, Any]) -> MessageType:
    """Negative states of a link are those without a result."""
    return MessageType.LINK_RESULT if execution["status"] >= 0 else MessageType.LINK_STATUS


def _of_link(link: _Link, agent: _Agent | None) -> dict[str, Any]:
    ability, cleanup = link.ability, bool(link.cleanup)
    return {
        "link_id": link.id,
        "agent_host": link.host or (agent and agent.host),
        "agent_paw": link.paw,
        "agent": _agent(agent),
        "command": link.command,
        "plaintext_command": link.plaintext_command or None,
        "command_template": None if cleanup else link.executor.command,
        "executor": link.executor.name,
        "platform": link.executor.platform,
        "pid": link.pid,
        "status": link.status,
        "link_state": _state(link.status),
        "cleanup": cleanup,
        "decide": link.decide,
        "collect": link.collect,
        "finish": link.finish,
        "agent_reported_time": link.agent_reported_time,
        "ability": {
            "ability_id": ability.ability_id,
            "name": ability.name,
            "tactic": ability.tactic,
            "technique_id": ability.technique_id,
            "technique_name": ability.technique_name,
        },
        "detections": (ability.additional_info or {}).get("detections"),
    }


def _of_step(step: _Step, order: int, paw: str, agent: _Agent | None) -> dict[str, Any]:
    return {
        "link_id": step.link_id,
        "order": order,
        "agent_host": agent and agent.host,
        "agent_paw": paw,
        "agent": _agent(agent),
        "command": step.command,
        "plaintext_command": step.plaintext_command or None,
        "executor": step.executor,
        "platform": step.platform,
        "pid": step.pid,
        "status": step.status,
        "link_state": _state(step.status),
        "cleanup": _is_cleanup(step),
        "decide": step.delegated,
        "finish": step.run,
        "agent_reported_time": step.agent_reported_time,
        "ability": {"ability_id": step.ability_id, "name": step.name, **msgspec.structs.asdict(step.attack)},
        "result_data": _capped(step.output),
    }


def _is_cleanup(step: _Step) -> bool:
    """A report does not tell, but Caldera leaves the plain text of its cleanup commands empty, and of no others."""
    return step.plaintext_command == "" and bool(step.command)


def _agent(agent: _Agent | None) -> dict[str, Any] | None:
    if agent is None:
        return None
    return {"ips": agent.host_ip_addrs, "user": agent.username, "pid": agent.pid, "exe_name": agent.exe_name}


def _state(status: int) -> str | None:
    """Some agents answer with states of their own: they ran something, and it was no success."""
    return None if status in _KNOWN_STATUS else "ERROR"


def _capped(output: Any) -> Any:
    """The output with long text cut."""
    if isinstance(output, str):
        return output[:MAX_OUTPUT]
    if not isinstance(output, dict):
        return None
    kept = {key: text[:MAX_OUTPUT] if isinstance(text, str) else text for key, text in output.items()}
    return kept if kept == output else {**kept, "truncated": True}
