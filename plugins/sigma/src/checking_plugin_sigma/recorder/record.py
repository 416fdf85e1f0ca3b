"""An operation that was really carried out, and the telemetry of it: for demonstrations and tests of rules.

Steps are shell commands, or files that the recorder reads itself, as an agent would that starts no process. Some may
come before the operation: what the host does anyway.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from checking_core.errors import ConfigurationError
from checking_plugin_sigma.recorder.trace import Program, Traced, traced

__all__ = ["Recording", "Step", "read_steps", "record", "write"]

_SPACE = UUID("0d2f7a0e-1c52-4f0b-8f3e-5a1f3c8f9b21")


_WRONG = {
    "missing": "is missing",
    "list_type": "is no list; write one step a line, each after a dash",
    "model_type": "is no mapping; write key: value",
    "string_type": "is no text; put it in quotes",
    "path_type": "is no path",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "float_type": "is no number of seconds",
    "float_parsing": "is no number of seconds",
    "finite_number": "is no number of seconds",
    "greater_than_equal": "is less than nothing",
}


class Step(BaseModel, extra="forbid", frozen=True):
    """One thing to do. ``before``: it is no part of the operation. ``pause``: seconds to wait afterwards."""

    name: str
    technique: str | None = None
    tactic: str | None = None
    command: str | None = None
    reads: Path | None = None
    before: bool = False
    pause: float = Field(default=1.0, ge=0, allow_inf_nan=False)


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """Messages as a red team's tool sends them, and events as a sensor writes them."""

    messages: list[dict[str, Any]]
    events: list[dict[str, Any]]


def read_steps(path: Path) -> list[Step]:
    """The steps of a YAML file.

    Raises:
        ConfigurationError: there is none, or it is wrong.
    """
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TypeAdapter(list[Step]).validate_python(told)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is no YAML") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(f"{path}: {_problem(first['loc'], first['type'], first['msg'])}") from error


def _problem(place: Sequence[int | str], kind: str, message: str) -> str:
    """What is wrong with which step."""
    number, *keys = place or (None,)
    where = "" if number is None else f"step {int(number) + 1}: "
    if kind == "extra_forbidden":
        near = get_close_matches(str(keys[-1]), Step.model_fields, n=1) or [", ".join(Step.model_fields)]
        return f"{where}{keys[-1]} is no known key; write {near[0]}"
    return f"{where}{''.join(f'{key} ' for key in keys)}{_WRONG.get(kind, message)}"


def record(name: str, steps: list[Step], *, host: str, folder: Path) -> Recording:
    """Carry out the steps, one after the other.

    Args:
        name: of the operation.
        steps: those before the operation come first.
        host: what the recording calls this machine.
        folder: where the commands run.

    Raises:
        ConfigurationError: this machine cannot trace.
    """
    messages: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    begun: datetime | None = None
    for step in sorted(steps, key=lambda step: not step.before):
        done = _carried_out(step, folder)
        events += [_event(program, done, host) for program in done.programs]
        if not step.before:
            begun = begun or done.started
            messages.append(_message(name, begun, len(messages) + 1, step, done, host))
        time.sleep(step.pause)
    return Recording(messages=messages, events=events)


def write(recording: Recording, into: Path) -> None:
    """Write ``operation.jsonl`` and ``telemetry.jsonl`` into a folder."""
    for file, lines in (("operation.jsonl", recording.messages), ("telemetry.jsonl", recording.events)):
        (into / file).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def _carried_out(step: Step, folder: Path) -> Traced:
    if step.command is not None:
        return traced(step.command, folder)
    started, code = datetime.now(UTC), 0
    try:
        if step.reads is not None:
            step.reads.read_bytes()
    except OSError:
        code = 1
    return Traced(started=started, ended=datetime.now(UTC), pid=0, exit_code=code, programs=())


def _event(program: Program, done: Traced, host: str) -> dict[str, Any]:
    """The start of a process under the names of Sysmon; of the shell itself the parent is the recorder."""
    known = {other.pid: other for other in done.programs if other.at < program.at}
    parent = known.get(program.parent)
    told = {
        "logsource": {"product": "linux", "category": "process_creation"},
        "UtcTime": program.at.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds"),
        "Computer": host,
        "ProcessId": program.pid,
        "ParentProcessId": program.parent,
        "Image": program.image,
        "CommandLine": " ".join(program.arguments),
        "CurrentDirectory": program.folder,
        "User": program.user,
        "ParentImage": parent.image if parent else None,
        "ParentCommandLine": " ".join(parent.arguments) if parent else None,
    }
    return {field: value for field, value in told.items() if value is not None}


def _message(name: str, begun: datetime, number: int, step: Step, done: Traced, host: str) -> dict[str, Any]:
    operation = uuid5(_SPACE, f"{name} {begun.isoformat()}")
    return {
        "v": 1,
        "message_type": "link_result",
        "timestamp": _written(done.ended),
        "operation": {"operation_id": str(operation), "name": name, "operation_start": _written(begun)},
        "execution": {
            "link_id": str(uuid5(operation, str(number))),
            "agent_host": host,
            "agent_paw": "recorder",
            "command": step.command or f"read {step.reads}",
            "executor": "sh" if step.command else "recorder",
            "platform": platform.system().lower(),
            "pid": done.pid or None,
            "status": done.exit_code,
            "collect": _written(done.started),
            "finish": _written(done.ended),
            "ability": {
                "ability_id": str(uuid5(_SPACE, step.name)),
                "name": step.name,
                "technique_id": step.technique,
                "tactic": step.tactic,
            },
            "result_data": {"stdout": "", "stderr": "", "exit_code": str(done.exit_code)},
        },
    }


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
