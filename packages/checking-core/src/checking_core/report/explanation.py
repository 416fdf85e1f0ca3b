"""What is known of one verdict, as values: what was asked, what came back, and who else claims it.

Built by ``flow/explain.py`` of the server from stored rows; ``explain.py`` beside this one tells it. Nothing in here is
escaped.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from checking_core.contracts import MatchTier, Met, Outcome, Reason
from checking_core.report.shapes import ReportedCheck, ReportedExecution, ReportedOperation

__all__ = ["Explanation", "GivenVerdict", "Rival", "TakenLook"]


class TakenLook(msgspec.Struct, frozen=True, kw_only=True):
    """One time of asking; ``at`` is when it began. What is not ``final`` was asked again."""

    look: int
    at: datetime | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    final: bool = True


class GivenVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict that a later one replaced; ``source`` is who gave it."""

    outcome: Outcome
    reason: Reason | None
    met: Met
    look: int
    source: str
    created_at: datetime


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Another execution's check that claims a record this one rests on."""

    record_id: str
    tier: MatchTier
    own_tier: MatchTier
    check_id: UUID
    operation_id: UUID
    agent_host: str
    procedure_name: str
    command: str
    started_at: datetime


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a verdict rests on.

    ``config`` is what the check asks, as it was written. ``query_sent`` and the searched times are those of the look
    that gave the verdict, ``source`` is who gave it. ``looks`` are the last ones, ``earlier`` the verdicts that were
    replaced, the newest first. ``warnings`` are the worker's, about the question or the answer.
    """

    v: int = 1
    generated_at: datetime
    operation: ReportedOperation
    execution: ReportedExecution
    pid: int | None
    check: ReportedCheck
    config: dict[str, Any]
    query_sent: str | None
    searched_from: datetime | None
    searched_to: datetime | None
    source: str | None
    looks: tuple[TakenLook, ...]
    earlier: tuple[GivenVerdict, ...]
    rivals: tuple[Rival, ...]
    warnings: tuple[str, ...]
