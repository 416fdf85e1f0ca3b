"""A check as it is planned: one expectation of one execution on one backend, before it has a row."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import msgspec

from checking_core.contracts.task import Timing
from checking_core.contracts.verdict import Expect, Outcome, Reason

__all__ = ["Closed", "PlannedCheck", "check_id_of", "task_id_of"]


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """Why a check is complete the moment it is planned: it needs no task."""

    outcome: Outcome
    reason: Reason
    note: str = ""


class PlannedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What ``accept`` stores. ``config`` is canonical; ``closed`` is set when there is nothing to ask."""

    id: UUID
    expectation_id: str | None
    detection_type: str
    backend: str
    config: dict[str, Any]
    expect: Expect
    max_retries: int
    timing: Timing
    closed: Closed | None = None


def check_id_of(execution_id: UUID, backend: str, name: str) -> UUID:
    """The id of a check: no ordinals, so a line inserted into a file moves nothing.

    Args:
        execution_id: row id of the execution.
        backend: name of the configured backend.
        name: the expectation's id, or the digest of the canonical configuration where there is none.
    """
    return uuid5(execution_id, f"{backend}\n{name}")


def task_id_of(check_id: UUID, look: int) -> UUID:
    """The id of one look: the same each time it is dispatched."""
    return uuid5(check_id, f"look {look}")
