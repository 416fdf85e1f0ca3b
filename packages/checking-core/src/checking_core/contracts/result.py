"""``detection result``: the answer of one task, from worker to server."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from checking_core.contracts.verdict import (
    Answer,
    Axes,
    CheckStatus,
    Evidence,
    EvidenceKind,
    MatchTier,
    NearMiss,
    Outcome,
    Prevention,
    Reason,
)

__all__ = ["DetectionResult", "EvidenceClaim", "ParsedResults"]

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class ParsedResults(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence and rejected candidates; ``near_miss_counts`` counts all of them by reason, the list is capped."""

    evidence: tuple[Evidence, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    near_miss_counts: dict[str, int] = {}


class EvidenceClaim(msgspec.Struct, frozen=True, kw_only=True):
    """This check rests on that record: gather decides who owns it.

    ``shared``: it sums up several things. ``kind`` is what it proves: an event stands behind a check that was alerted,
    but its headline rests on the alert alone.
    """

    record_id: Annotated[str, msgspec.Meta(max_length=512)]
    tier: MatchTier
    shared: bool = False
    kind: EvidenceKind | None = None


class DetectionResult(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    A worker of the original system sends the first block only: ``outcome`` is then ``None`` and the verdict is
    judged from ``detected`` and ``status``. ``lift``: matches for each hit of the control window. ``tooling``: the rule
    also fires on the red team's own process. ``parsed_results`` is a ``ParsedResults`` when our worker writes it and
    plain JSON when it is read. ``final`` is false when the check has to be asked again later.
    """

    id: UUID
    detection_execution_id: UUID
    detected: bool | None = None
    raw_response: Any = None
    parsed_results: Any = None
    result_timestamp: datetime
    result_source: Annotated[str, msgspec.Meta(max_length=255)] = ""
    result_metadata: dict[str, Any] = {}
    started_at: datetime | None = None
    status: CheckStatus = CheckStatus.COMPLETED
    retry_count: Count = 0

    v: int = 1
    look: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    prevention: Prevention = Prevention.NOT_ASKED
    alert: Answer = Answer.NOT_ASKED
    rule: Answer = Answer.NOT_ASKED
    telemetry: Answer = Answer.NOT_ASKED
    alive: Answer = Answer.NOT_ASKED
    outcome: Outcome | None = None
    reason: Reason | None = None
    match_tier: MatchTier | None = None
    claims: tuple[EvidenceClaim, ...] = ()
    in_control_window: bool = False
    lift: float | None = None
    tooling: bool = False
    event_at: datetime | None = None
    indexed_at: datetime | None = None
    alert_at: datetime | None = None
    query_sent: str | None = None
    searched_from: datetime | None = None
    searched_to: datetime | None = None
    clock_offset: float | None = None
    final: bool = True

    @property
    def axes(self) -> Axes:
        """The five answers as one value."""
        return Axes(
            prevention=self.prevention, alert=self.alert, rule=self.rule, telemetry=self.telemetry, alive=self.alive
        )
