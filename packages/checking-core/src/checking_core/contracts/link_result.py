"""What the red team did, in canonical form: what every reader (bus, HTTP, file, poller) produces for ``accept``.

Field names and accepted spellings: docs/reference/messages.md. The liberal reader is ``link_reader.py``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

import msgspec

__all__ = [
    "Agent",
    "Clock",
    "ExecutionFacts",
    "Hint",
    "LinkMessage",
    "LinkState",
    "MessageType",
    "OperationFacts",
    "Procedure",
    "RunState",
    "execution_id_of",
    "identity",
]

_NAMESPACE = UUID("8f1d6a5e-2f0b-5c3e-9a41-6d0c5b7e1f20")
"""Root of every derived id of this project; changing it would orphan stored rows."""


class MessageType(StrEnum):
    """The three kinds of message that a red-team feed sends."""

    LINK_RESULT = "link_result"
    LINK_STATUS = "link_status"
    OPERATION_STATE = "operation_state"


class LinkState(StrEnum):
    """Caldera's word for the state of a link."""

    SUCCESS = "SUCCESS"
    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    EXECUTE = "EXECUTE"
    PAUSE = "PAUSE"
    DISCARD = "DISCARD"
    UNTRUSTED = "UNTRUSTED"
    HIGH_VIZ = "HIGH_VIZ"


class RunState(StrEnum):
    """What became of the execution; ``lost`` was handed out and never answered, so it may have run."""

    RAN = "ran"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    NEVER_RAN = "never_ran"


class Clock(StrEnum):
    """Whose clock ``started_at`` and ``finished_at`` are on: the message's own time is the last resort."""

    SERVER = "server"
    AGENT = "agent"
    MESSAGE = "message"


class OperationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The operation as one message tells it. ``naive_start``: the time had no offset and was read as UTC."""

    operation_id: UUID
    source: str
    source_id: str | None = None
    name: str = ""
    operation_start: datetime | None = None
    naive_start: bool = False
    state: str | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The red team's own process on the target: it must not be counted as the attack."""

    ips: tuple[str, ...] = ()
    user: str | None = None
    pid: int | None = None
    exe_name: str | None = None


class Procedure(msgspec.Struct, frozen=True, kw_only=True):
    """The recipe. ``fingerprint`` makes runs of the same recipe comparable, whatever facts were filled in."""

    id: str | None = None
    name: str = ""
    tactic: str | None = None
    technique_id: str | None = None
    technique_name: str | None = None
    fingerprint: str = ""


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """One ``detections`` entry of a message. ``problem`` says in words why it cannot be used, if so."""

    detection_type: str | None = None
    platform: str | None = None
    config: dict[str, Any] = {}
    max_retries: int | None = None
    problem: str | None = None


class ExecutionFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as one message tells it. All times are aware UTC."""

    link_id: UUID
    source_id: str | None = None
    agent_host: str
    agent_paw: str = ""
    agent: Agent = Agent()
    command: str = ""
    plaintext_command: str | None = None
    executor: str | None = None
    platform: str | None = None
    pid: int | None = None
    status: int | None = None
    link_state: LinkState
    run_state: RunState
    cleanup: bool = False
    procedure: Procedure = Procedure()
    started_at: datetime
    finished_at: datetime | None = None
    started_at_least: datetime | None = None
    agent_reported_time: datetime | None = None
    clock: Clock
    result_data: Any = None
    hints: tuple[Hint, ...] = ()

    @property
    def ended_at(self) -> datetime:
        """When it ended; without that, when it began."""
        return self.finished_at or self.started_at


class LinkMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One decoded message. ``execution`` is ``None`` exactly for ``operation_state``; ``raw`` is its text."""

    message_type: MessageType
    timestamp: datetime
    operation: OperationFacts
    execution: ExecutionFacts | None = None
    raw: str = ""


def identity(source: str, text: str) -> UUID:
    """The id of something another system named: its UUID if the name is one, else derived from source and name."""
    try:
        return msgspec.convert(text, UUID)
    except msgspec.ValidationError:
        return uuid5(uuid5(_NAMESPACE, source), text)


@lru_cache(maxsize=4096)  # everything that is told of an execution asks for it, several times in one transaction
def execution_id_of(operation_id: UUID, link_id: UUID) -> UUID:
    """The row id of an execution: the same however often and in whatever order its messages arrive."""
    return uuid5(operation_id, link_id.hex)
