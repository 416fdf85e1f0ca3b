"""A red-team message as it stands on the wire: everything optional, both spellings, nothing interpreted.

The codec takes out empty fields where they are in the way, so a time is a time here.
Limits of length are those of the columns. The reading is in ``link_reader.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec

__all__ = ["Number", "WireAbility", "WireAgent", "WireExecution", "WireMessage", "WireOperation"]

Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=1000)]
ShortName: TypeAlias = Annotated[str, msgspec.Meta(max_length=255)]
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**63 - 1)]
Identifier: TypeAlias = ShortName | Number


class WireOperation(msgspec.Struct, frozen=True):
    """``operation``."""

    operation_id: Identifier | None = None
    id: Identifier | None = None
    name: Name | None = None
    operation_start: datetime | None = None
    start: datetime | None = None
    state: Name | None = None
    source: ShortName | None = None


class WireAbility(msgspec.Struct, frozen=True):
    """``execution.ability``."""

    ability_id: Name | None = None
    name: Name | None = None
    tactic: Name | None = None
    technique_id: ShortName | None = None
    technique_name: Name | None = None


class WireAgent(msgspec.Struct, frozen=True):
    """``execution.agent``."""

    ips: Annotated[list[ShortName], msgspec.Meta(max_length=256)] | None = None
    user: Name | None = None
    pid: Number | str | None = None
    exe_name: Name | None = None


class WireExecution(msgspec.Struct, frozen=True):
    """``execution``."""

    link_id: Identifier | None = None
    id: Identifier | None = None
    agent_host: ShortName | None = None
    agent_paw: ShortName | None = None
    agent: WireAgent | None = None
    command: str | None = None
    plaintext_command: str | None = None
    command_template: str | None = None
    executor: Name | None = None
    platform: ShortName | None = None
    pid: Number | str | None = None
    status: Number | str | None = None
    link_state: ShortName | None = None
    state: ShortName | None = None
    cleanup: bool | int | None = None
    decide: datetime | None = None
    collect: datetime | None = None
    finish: datetime | None = None
    agent_reported_time: datetime | None = None
    started_at_least: datetime | None = None
    ability: WireAbility | None = None
    result_data: Any = None
    detections: Any = None
    order: Number | None = None


class WireMessage(msgspec.Struct, frozen=True):
    """The message."""

    message_type: str
    operation: WireOperation
    timestamp: datetime | None = None
    execution: WireExecution | None = None
    to_state: Name | None = None
    v: int = 1
