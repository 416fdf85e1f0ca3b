"""What a detector found: raw answers to the questions of one task, before they are judged."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from checking_core.contracts import (
    Answer,
    Evidence,
    EvidenceClaim,
    MatchTier,
    NearMiss,
    Prevention,
    Reason,
)

__all__ = ["Finding"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt's answer.

    A question that was asked and is left at ``not_asked`` counts as unknown. ``complete`` is false when the backend
    answered from a part of its data: a yes still counts, a no does not. ``raw_response`` is capped when stored.
    All times are aware; ``clock_offset`` is backend minus worker, in seconds.
    """

    prevention: Prevention = Prevention.NOT_ASKED
    alert: Answer = Answer.NOT_ASKED
    rule: Answer = Answer.NOT_ASKED
    telemetry: Answer = Answer.NOT_ASKED
    alive: Answer = Answer.NOT_ASKED
    complete: bool = True
    reason: Reason | None = None
    match_tier: MatchTier | None = None
    evidence: tuple[Evidence, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    claims: tuple[EvidenceClaim, ...] = ()
    in_control_window: bool = False
    lift: float | None = None
    tooling: bool = False
    raw_response: Any = None
    query_sent: str | None = None
    searched_from: datetime | None = None
    searched_to: datetime | None = None
    event_at: datetime | None = None
    indexed_at: datetime | None = None
    alert_at: datetime | None = None
    clock_offset: float | None = None
    warnings: tuple[str, ...] = ()
