"""The answers of one look, sifted, become a finding: answers, evidence, near misses, claims, times. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from checking_core.contracts import (
    Answer,
    Ask,
    Evidence,
    EvidenceClaim,
    EvidenceKind,
    NearMiss,
    Prevention,
    Reason,
)
from checking_core.matching.record import Alert, AnyRecord
from checking_core.matching.sift import Matched, Rejected, Sifted
from checking_core.matching.tiers import RANK
from checking_core.plugin.finding import Finding

__all__ = ["Answered", "assemble"]

_KINDS = {Ask.ALERT: EvidenceKind.ALERT, Ask.RULE: EvidenceKind.MATCH, Ask.TELEMETRY: EvidenceKind.EVENT}
"""What a record proves depends on the question that brought it, whatever it is called there."""
_STOPPED = (Prevention.BLOCKED, Prevention.TERMINATED)
_HEADLINES = (Ask.ALERT, Ask.RULE, Ask.TELEMETRY)
"""The first of them that is answered yes is what the headline says, unless something was stopped."""
_MOST_EVIDENCE = 100
_MOST_MISSES = 20
_MOST_ALIVE = 3
_MOST_FIELDS = 100
_LONGEST_FIELD = 2000
_LONGEST_ID = 512


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One question's answer: its candidates told apart, and those of the control window if that was asked.

    ``sifted`` is ``None`` where the question could not be answered at all. ``stopping`` are all alerts of the
    execution, of whatever rule: any of them may tell that it was stopped. ``unchecked``: the control window was asked,
    and did not tell all. ``raw`` is the backend's own form of each record, by id.
    """

    sifted: Sifted | None
    stopping: Sifted | None = None
    control: Sifted | None = None
    unchecked: bool = False
    complete: bool = True
    reason: Reason | None = None
    query_sent: str | None = None
    raw: Mapping[str, Mapping[str, Any]] = {}
    messages: tuple[str, ...] = ()
    clock_offset: float | None = None

    @property
    def noisy(self) -> bool:
        """Whether the same happens without any attack."""
        return self.control is not None and bool(self.control.matched)

    @property
    def spoiled(self) -> bool:
        """Whether it rests on nothing that would not, or might not, also have been there before the operation."""
        weak = self.sifted is not None and bool(self.sifted.matched) and not self.sifted.firm
        return weak and (self.noisy or self.unchecked)

    @property
    def answer(self) -> Answer:
        """A yes that would also have been one before the operation is none, nor is one of which that is not known."""
        if self.sifted is None:
            return Answer.UNKNOWN
        return Answer.UNKNOWN if self.spoiled and self.sifted.answer is Answer.YES else self.sifted.answer

    @property
    def unsure(self) -> bool:
        """Whether what was left out of the answer could change it; a yes stays one."""
        return not self.complete and self.answer is not Answer.YES


def assemble(
    answered: Mapping[Ask, Answered], *, asked: frozenset[Ask], reason: Reason | None = None, **about: Any
) -> Finding:
    """The finding of one look.

    Args:
        answered: by question; whether something was blocked is read off the alerts.
        asked: the questions of the check.
        reason: what is known of the rule that kept quiet; the answers' own otherwise.
        about: fields of the finding that do not depend on the answers.
    """
    proving = [(ask, found.sifted) for ask, found in answered.items() if ask in _KINDS and found.sifted is not None]
    matched = [(ask, candidate) for ask, sifted in proving for candidate in sifted.matched]
    stopped = _stopped(answered.get(Ask.ALERT)) if Ask.PREVENTION in asked else []
    matched += [(Ask.ALERT, found) for found in stopped if found not in [known for _, known in matched]]
    missed = [(ask, candidate) for ask, sifted in proving for candidate in (*sifted.undecided, *sifted.rejected)]
    deciding = stopped or _deciding(answered)
    traces = [found for ask, found in matched if answered[ask].answer is Answer.YES]
    controls = [found for found in answered.values() if found.noisy]
    said = {ask: found.answer for ask, found in answered.items() if ask in asked}
    return Finding(
        alert=said.get(Ask.ALERT, Answer.NOT_ASKED),
        rule=said.get(Ask.RULE, Answer.NOT_ASKED),
        telemetry=said.get(Ask.TELEMETRY, Answer.NOT_ASKED),
        alive=said.get(Ask.ALIVE, Answer.NOT_ASKED),
        prevention=_prevention(answered[Ask.ALERT], stopped) if Ask.PREVENTION in asked else Prevention.NOT_ASKED,
        complete=not any(found.unsure for found in answered.values()),
        reason=reason or _reason(answered),
        match_tier=min((found.tie.tier for found in deciding), key=RANK.__getitem__, default=None),
        evidence=tuple(_evidence(ask, found, answered[ask].raw) for ask, found in matched[:_MOST_EVIDENCE]),
        near_misses=tuple(_near_miss(_KINDS[ask], candidate) for ask, candidate in missed),
        claims=_claims(matched),
        in_control_window=bool(controls),
        lift=min((_lift(found) for found in controls), default=None),
        tooling=any(candidate.reason is Reason.TOOLING for _, candidate in missed),
        raw_response={
            ask.value: _shown(found, _MOST_ALIVE if ask is Ask.ALIVE else _MOST_EVIDENCE)
            for ask, found in answered.items()
        },
        query_sent="\n".join(f"{ask}: {found.query_sent}" for ask, found in answered.items() if found.query_sent)
        or None,
        event_at=_first(found.record.event_at for found in deciding)
        or _first(found.record.event_at for found in traces),
        indexed_at=_first(found.record.indexed_at for found in deciding)
        or _first(found.record.indexed_at for found in traces),
        alert_at=_first(alert.created_at for alert in _alerts(deciding)),
        clock_offset=next((found.clock_offset for found in answered.values() if found.clock_offset is not None), None),
        **about,
    )


def _deciding(answered: Mapping[Ask, Answered]) -> list[Matched]:
    """What the headline rests on: of its records those that would not be there without the execution, if any is."""
    for ask in _HEADLINES:
        found = answered.get(ask)
        if found is not None and found.sifted is not None and found.answer is Answer.YES:
            return [match for match in found.sifted.matched if match.tie.firm] or list(found.sifted.matched)
    return []


def _stopped(answered: Answered | None) -> list[Matched]:
    """The alerts that tell that it was stopped: of any rule where they are firmly tied, else those that count."""
    if answered is None or answered.sifted is None or answered.stopping is None:
        return []
    firm = [found for found in answered.stopping.matched if found.tie.firm]
    counted = [] if answered.spoiled else [found for found in answered.sifted.matched if found not in firm]
    return [found for found in (*firm, *counted) for alert in _alerts([found]) if alert.prevention in _STOPPED]


def _prevention(answered: Answered, stopped: Sequence[Matched]) -> Prevention:
    """What the alerts of this execution tell; a product that stops something says so in an alert.

    That it was let pass is told by all of them together: the one that is missing may say otherwise, and so may one of
    which it is not certain whose it is.
    """
    if stopped:
        told = {alert.prevention for alert in _alerts(stopped)}
        return next(state for state in _STOPPED if state in told)
    if answered.spoiled or answered.sifted is None or answered.stopping is None:
        return Prevention.UNKNOWN
    perhaps = [one.record for one in answered.stopping.matched] + [one.record for one in answered.stopping.undecided]
    if any(isinstance(record, Alert) and record.prevention in _STOPPED for record in perhaps):
        return Prevention.UNKNOWN
    if Prevention.NOT_BLOCKED in {alert.prevention for alert in _alerts(answered.sifted.matched)}:
        return Prevention.NOT_BLOCKED if answered.complete else Prevention.UNKNOWN
    return Prevention.NOT_BLOCKED if answered.answer is Answer.NO else Prevention.UNKNOWN


def _alerts(matched: Iterable[Matched]) -> list[Alert]:
    return [found.record for found in matched if isinstance(found.record, Alert)]


def _reason(answered: Mapping[Ask, Answered]) -> Reason | None:
    """What is known of a miss: what spoiled the answer, else the nearest candidate's reason."""
    if given := next(
        (found.reason for found in answered.values() if found.answer is not Answer.YES and found.reason), None
    ):
        return given
    if any(found.unsure for found in answered.values()):
        return Reason.BACKEND_PARTIAL_ANSWER
    unseen = [
        found for ask, found in answered.items() if ask in (Ask.ALERT, Ask.RULE) and found.answer is not Answer.YES
    ]
    if any(found.noisy for found in unseen):
        return Reason.IN_CONTROL_WINDOW
    nearest = [
        candidate.reason
        for found in unseen
        if found.sifted is not None
        for candidate in (*found.sifted.undecided[:1], *found.sifted.rejected[:1])
    ]
    return nearest[0] if nearest else None


def _lift(found: Answered) -> float:
    ours = len(found.sifted.matched) if found.sifted else 0
    return ours / max(len(found.control.matched) if found.control else 0, 1)


def _evidence(ask: Ask, found: Matched, raw: Mapping[str, Mapping[str, Any]]) -> Evidence:
    record = found.record
    return Evidence(
        kind=_KINDS[ask],
        id=_name(record),
        title=record.title,
        rule=record.rule,
        severity=record.severity if isinstance(record, Alert) else None,
        host=next(iter(record.hosts), None),
        event_at=record.event_at,
        indexed_at=record.indexed_at,
        alert_at=record.created_at if isinstance(record, Alert) else None,
        url=record.url,
        fields={name: _cut(value) for name, value in islice(record.fields.items(), _MOST_FIELDS)},
        tier=found.tie.tier,
        matched=found.tie.fields,
        sha256=_digest(raw.get(record.id, record)),
    )


def _cut(value: Any) -> Any:
    """A field as it is or, where that is long, its beginning as text: the whole record is named by its digest."""
    text = value if isinstance(value, str) else _json(value).decode()
    return value if len(text) <= _LONGEST_FIELD else f"{text[: _LONGEST_FIELD - 1]}…"


def _shown(found: Answered, most: int) -> list[Mapping[str, Any]]:
    """What the backend said of the records that decided, and of the nearest misses."""
    if found.sifted is None:
        return []
    hits = [candidate.record.id for candidate in found.sifted.matched[:most]]
    misses = [candidate.record.id for candidate in (*found.sifted.undecided, *found.sifted.rejected)[:_MOST_MISSES]]
    return [found.raw[name] for name in (*hits, *misses) if name in found.raw]


def _near_miss(kind: EvidenceKind, candidate: Rejected) -> NearMiss:
    record = candidate.record
    return NearMiss(
        kind=kind,
        id=_name(record),
        reason=candidate.reason,
        title=record.title,
        host=next(iter(record.hosts), None),
        event_at=record.event_at,
    )


def _claims(matched: Iterable[tuple[Ask, Matched]]) -> tuple[EvidenceClaim, ...]:
    """Each record once, as what the strongest question made of it."""
    found: dict[str, EvidenceClaim] = {}
    for ask, candidate in matched:
        name = _name(candidate.record)
        claim = EvidenceClaim(
            record_id=name,
            tier=candidate.tie.tier,
            shared=candidate.record.event_until is not None,
            kind=_KINDS[ask],
        )
        found.setdefault(name, claim)
    return tuple(found.values())


def _name(record: AnyRecord) -> str:
    """Its id, or where that is too long to be stored its beginning and a digest: two records are never one."""
    if len(record.id) <= _LONGEST_ID:
        return record.id
    digest = hashlib.sha256(record.id.encode(errors="surrogatepass")).hexdigest()
    return f"{record.id[: _LONGEST_ID - len(digest) - 1]} {digest}"


def _digest(record: Any) -> str:
    return hashlib.sha256(_json(record)).hexdigest()


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic", enc_hook=str)


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
