"""Which of a backend's records belong to an execution, and why each of the others does not. Pure.

A candidate is matched, rejected with one reason, or left undecided: it may belong to the execution but does not say
enough. What is undecided can never be counted, and never be the ground of a no.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import msgspec

from checking_core.contracts import Answer, Ask, MatchTier, Reason
from checking_core.matching.host import Place
from checking_core.matching.identity import Identity
from checking_core.matching.question import INCOMPLETE, Objection, Question, firmest, objection_to
from checking_core.matching.record import Alert, AnyRecord, told
from checking_core.matching.tiers import RANK, Tie, is_of_agent, place_of, tie
from checking_core.matching.window import Window

__all__ = ["Matched", "Rejected", "Sifted", "sift"]


class Matched(NamedTuple):
    """A record that belongs to the execution, and what shows it."""

    record: AnyRecord
    tie: Tie


class Rejected(NamedTuple):
    """A record that does not or, where that is not certain, of which it cannot be told."""

    record: AnyRecord
    reason: Reason
    certain: bool = True


Candidate: TypeAlias = Matched | Rejected


class Sifted(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one question, told apart: the firmest match first, the nearest miss first."""

    matched: tuple[Matched, ...]
    rejected: tuple[Rejected, ...]
    undecided: tuple[Rejected, ...]
    wanted: int = 1

    @property
    def answer(self) -> Answer:
        """Whether there is enough; unknown while something undecided could make it so."""
        if len(self.matched) >= self.wanted:
            return Answer.YES
        return Answer.UNKNOWN if len(self.matched) + len(self.undecided) >= self.wanted else Answer.NO

    @property
    def firm(self) -> bool:
        """Whether there is enough of what does not happen without the execution."""
        return sum(found.tie.firm for found in self.matched) >= self.wanted

    @property
    def tier(self) -> MatchTier | None:
        """The firmest tier of all matches."""
        return self.matched[0].tie.tier if self.matched else None


def sift(records: Iterable[AnyRecord], question: Question, identity: Identity, accepted: Window) -> Sifted:
    """Tell the records of one answer apart. A record that came twice is one: the version of it that says most.

    Args:
        records: as the plugin translated them, in any order.
        question: what a record has to be.
        identity: of the execution.
        accepted: when its traces may lie; see ``Windows``.
    """
    found: dict[str, Candidate] = {}
    for record in records:
        candidate = _examine(record, question, identity, accepted)
        known = found.get(record.id)
        found[record.id] = candidate if known is None else min(known, candidate, key=_fullness)
    candidates = sorted(found.values(), key=_firmness)
    misses = [candidate for candidate in candidates if isinstance(candidate, Rejected)]
    return Sifted(
        matched=tuple(candidate for candidate in candidates if isinstance(candidate, Matched)),
        rejected=tuple(miss for miss in misses if miss.certain),
        undecided=tuple(miss for miss in misses if not miss.certain),
        wanted=question.min_count,
    )


def _examine(record: AnyRecord, question: Question, identity: Identity, accepted: Window) -> Candidate:
    """A candidate with what ties it to the execution, or with the firmest objection to it."""
    place = place_of(identity, record, scoped=question.scoped)
    found = tie(identity, record, place, question)
    marked = found is not None and found.tier is MatchTier.MARKER
    objection = firmest(
        [
            None if marked else _elsewhere(identity, record, place, question),
            _untimely(record, accepted),
            objection_to(record, question),
        ]
    )
    if objection is None and found is not None:
        if found.tier is not MatchTier.HOST or question.host_is_enough:
            return Matched(record, found)
        objection = _unrelated(identity, record)
    return Rejected(record, *(objection or INCOMPLETE))


def _elsewhere(identity: Identity, record: AnyRecord, place: Place, question: Question) -> Objection | None:
    """Another host's, or on the right one the red team's own process, which is alive but not what that has started."""
    if place is Place.OTHER:
        return Objection(Reason.ALERT_OTHER_HOST)
    tooling = question.ask is not Ask.ALIVE and is_of_agent(identity, record)
    return Objection(Reason.TOOLING) if tooling else None


def _untimely(record: AnyRecord, accepted: Window) -> Objection | None:
    """Whether it happened while the execution's traces may lie there.

    The event's own time counts; where an alert has none, the time of its creation.
    """
    start = record.event_at
    if start is None and isinstance(record, Alert):
        start = record.created_at
    if start is None:
        return INCOMPLETE
    return None if accepted.holds(start, record.event_until) else Objection(Reason.ALERT_OUTSIDE_WINDOW)


def _unrelated(identity: Identity, record: AnyRecord) -> Objection:
    """Nothing but the host ties it: it is of something else if it tells what that is, as the execution does."""
    technique = identity.technique and told(*record.techniques)
    command = identity.commands.whole and told(*record.commands)
    return Objection(Reason.ALERT_OTHER_RULE) if technique or command else INCOMPLETE


_CLOSENESS: Sequence[Reason] = (
    Reason.ALERT_FIELDS_INCOMPLETE,
    Reason.SUPPRESSED,
    Reason.ALERT_OTHER_SEVERITY,
    Reason.TOOLING,
    Reason.ALERT_OTHER_RULE,
    Reason.ALERT_OUTSIDE_WINDOW,
    Reason.ALERT_OTHER_HOST,
)
"""How near a miss is: what almost belonged is shown before what was far away."""


def _firmness(candidate: Candidate) -> tuple[int, int, float, str]:
    """The order of candidates: the matches, the undecided, the rest; in each what is firmer or nearer, then earlier."""
    record = candidate.record
    moment = float("inf") if record.event_at is None else record.event_at.timestamp()
    if isinstance(candidate, Matched):
        return 0, RANK[candidate.tie.tier], moment, record.id
    return 1 + candidate.certain, _CLOSENESS.index(candidate.reason), moment, record.id


def _fullness(candidate: Candidate) -> tuple[Any, ...]:
    """The order of two versions of one record; the last word has their text, so that no order of arrival decides."""
    return *_firmness(candidate), repr(candidate.record)
