"""What requests say: what is to be stored, and what is to be corrected. A field that nobody knows is refused."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from checking_core.contracts import CheckStatus, Outcome

__all__ = [
    "CorrectedCheck",
    "CorrectedExecution",
    "CorrectedOperation",
    "CorrectedResult",
    "WantedCheck",
    "WantedExecution",
    "WantedOperation",
    "WantedOverride",
    "WantedResult",
]

_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=1_000)]
_Version: TypeAlias = Annotated[str, msgspec.Meta(max_length=20)]
_Retries: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100)]
_Note: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=2_000)]
_Technique: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$")]


class WantedOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operation to be stored; ``operation_id`` is the red-team tool's own, a UUID or not."""

    operation_id: Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
    name: _Name
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = "caldera"
    operation_start: datetime | None = None
    state: _Name | None = None
    attack_version: _Version | None = None
    metadata: dict[str, Any] | None = None


class CorrectedOperation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of an operation."""

    name: _Name | msgspec.UnsetType = msgspec.UNSET
    operation_start: datetime | msgspec.UnsetType | None = msgspec.UNSET
    state: _Name | msgspec.UnsetType | None = msgspec.UNSET
    attack_version: _Version | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET


class WantedExecution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An execution to be stored: of which operation, by its ``id`` or its ``operation_id``, and what ran.

    ``execution`` is that of a message, as docs/reference/messages.md tells. ``timestamp`` is the time of telling: the
    same again is known by it, and of two results of a link the one that was told later stands.
    """

    operation_id: UUID
    execution: dict[str, Any]
    timestamp: datetime


class WantedCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check to be made of a stored execution, by its ``id``: what is asked of which backend."""

    execution_result_id: UUID
    detection_platform: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    detection_type: Annotated[str, msgspec.Meta(max_length=20)] | None = None
    detection_config: dict[str, Any]
    max_retries: _Retries | None = None


class CorrectedCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of a check: ``cancelled`` closes an open one, ``pending`` has a closed one asked once more."""

    status: CheckStatus | msgspec.UnsetType = msgspec.UNSET
    max_retries: _Retries | msgspec.UnsetType = msgspec.UNSET


class WantedResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's verdict of an open check, and why."""

    detection_execution_id: UUID
    outcome: Outcome
    note: _Note


class WantedOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's verdict, and why."""

    outcome: Outcome
    note: _Note


class CorrectedResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes beside a verdict."""

    note: _Note


class CorrectedExecution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What changes of an execution: its name, and how it is mapped to ATT&CK."""

    procedure_name: _Name | msgspec.UnsetType = msgspec.UNSET
    tactic: _Name | msgspec.UnsetType | None = msgspec.UNSET
    technique_id: _Technique | msgspec.UnsetType | None = msgspec.UNSET
    technique_name: _Name | msgspec.UnsetType | None = msgspec.UNSET
