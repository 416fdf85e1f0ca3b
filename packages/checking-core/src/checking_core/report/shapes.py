"""What a report says, as values. Key by key: docs/reference/report.md.

Built by ``flow/report.py`` of the server from stored rows, turned into text by the modules beside this one. Nothing in
here is escaped: whoever shows a text escapes it for the place (``escape.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

import msgspec

from checking_core.contracts import Axes, CheckStatus, EvidenceKind, Expect, MatchTier, Met, Outcome, Reason, RunState

__all__ = [
    "Counts",
    "OperationLine",
    "OperationReport",
    "OperationsReport",
    "ReportLine",
    "ReportedCheck",
    "ReportedEvidence",
    "ReportedExecution",
    "ReportedNearMiss",
    "ReportedOperation",
    "Summary",
    "Unchecked",
]


class ReportedOperation(msgspec.Struct, frozen=True, kw_only=True):
    """The operation. ``id`` is its row's, ``source_id`` the name that its source gave it."""

    id: UUID
    operation_id: UUID
    name: str
    source: str
    source_id: str | None
    state: str | None
    operation_start: datetime | None
    created_at: datetime


class ReportedExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One step. ``step`` counts from 1 in the order of the starts; ``command`` is the plain text where it is known."""

    id: UUID
    step: int
    agent_host: str
    agent_paw: str
    procedure_name: str
    technique_id: str | None
    technique_name: str | None
    tactic: str | None
    command: str
    run_state: RunState
    started_at: datetime
    finished_at: datetime | None


class ReportedEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """A record that proves a verdict. ``url`` is the backend's word: show it as a link only by ``escape``.

    ``tier`` and ``matched`` say what ties it to the execution.
    """

    kind: EvidenceKind
    id: str
    title: str = ""
    rule: str | None = None
    severity: str | None = None
    host: str | None = None
    event_at: datetime | None = None
    alert_at: datetime | None = None
    url: str | None = None
    tier: MatchTier | None = None
    matched: tuple[str, ...] = ()


class ReportedNearMiss(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was rejected, and the one reason why."""

    kind: EvidenceKind
    id: str
    reason: Reason
    title: str = ""
    host: str | None = None
    event_at: datetime | None = None


class ReportedCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check and its current verdict; ``met``, ``axes`` and what follows from them are ``None`` while it is open.

    ``looks`` were taken so far; ``next_look_at`` is set while it waits for another. ``near_misses`` counts the
    candidates that were rejected, by reason; ``nearest`` are the nearest of them. ``censored``: that no alert came is
    proven, so the time to detect is longer than the check has waited. ``lift``: matches for each that the same question
    had before the operation. ``note`` is what the engine, the plugin or a person said about it.
    """

    id: UUID
    backend: str
    expectation_id: str | None
    expect: Expect
    status: CheckStatus
    outcome: Outcome
    reason: Reason | None
    met: Met | None
    axes: Axes | None
    match_tier: MatchTier | None
    late: bool
    ambiguous: bool
    in_control_window: bool
    tooling: bool
    overridden: bool
    lift: float | None
    event_at: datetime | None
    indexed_at: datetime | None
    alert_at: datetime | None
    seen_at: datetime | None
    time_to_detect_s: float | None
    censored: bool
    looks: int
    next_look_at: datetime | None
    deadline: datetime
    evidence: tuple[ReportedEvidence, ...]
    near_misses: dict[str, int]
    nearest: tuple[ReportedNearMiss, ...]
    note: str

    @property
    def is_open(self) -> bool:
        """Whether its verdict is still to come."""
        return self.outcome is Outcome.PENDING


class Unchecked(StrEnum):
    """Why an execution has no check."""

    CLEANUP = "cleanup"
    NOTHING_EXPECTED = "nothing_expected"


class ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    """A check of an execution, or an execution without one and why: exactly one of the two is set."""

    execution: ReportedExecution
    check: ReportedCheck | None = None
    unchecked: Unchecked | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each. ``by_outcome`` has every outcome, also with 0; ``open`` are those that are pending."""

    executions: int
    checks: int
    open: int
    by_outcome: dict[Outcome, int]

    @classmethod
    def of(cls, executions: int, by_outcome: Mapping[Outcome, int]) -> Self:
        """Count from what was counted already."""
        every = {outcome: by_outcome.get(outcome, 0) for outcome in Outcome}
        return cls(executions=executions, checks=sum(every.values()), open=every[Outcome.PENDING], by_outcome=every)


class Summary(Counts, frozen=True, kw_only=True):
    """Counts of one operation; ``by_met`` counts the closed checks, ``next_look_at`` is the earliest to come."""

    unchecked_executions: int
    by_met: dict[Met, int]
    next_look_at: datetime | None

    @classmethod
    def of_lines(cls, lines: Iterable[ReportLine]) -> Self:
        """Count the lines of a report."""
        lines = list(lines)
        checks = [line.check for line in lines if line.check is not None]
        counts = Counts.of(len({line.execution.id for line in lines}), Counter(check.outcome for check in checks))
        met = Counter(check.met for check in checks if check.met is not None)
        return cls(
            **msgspec.structs.asdict(counts),
            unchecked_executions=sum(line.check is None for line in lines),
            by_met={word: met[word] for word in Met},
            next_look_at=min((check.next_look_at for check in checks if check.next_look_at), default=None),
        )


class OperationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the defenders saw of one operation. ``lines`` stand in the order of the executions.

    ``remark`` says how the operation was chosen when the question named several.
    """

    v: int = 1
    generated_at: datetime
    operation: ReportedOperation
    remark: str = ""
    summary: Summary
    lines: tuple[ReportLine, ...]


class OperationLine(msgspec.Struct, frozen=True, kw_only=True):
    """An operation and its counts."""

    operation: ReportedOperation
    counts: Counts


class OperationsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The newest operations, newest first; ``total`` is how many there are, or at least so many."""

    v: int = 1
    generated_at: datetime
    total: int
    total_is_minimum: bool
    operations: tuple[OperationLine, ...]
