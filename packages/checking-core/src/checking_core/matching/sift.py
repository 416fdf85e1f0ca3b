"""Which of a backend's records belong to an execution, and why each of the others does not. Pure.

A candidate is matched, rejected with one reason, or left undecided: it may belong to the execution but does not say
enough. What is undecided can never be counted, and never be the ground of a no.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from checking_core.contracts import Answer, Ask, DetectionConfig, MatchTier, Reason
from checking_core.contracts.technique import kinship
from checking_core.matching.host import Place
from checking_core.matching.identity import Identity
from checking_core.matching.record import Alert, AnyRecord
from checking_core.matching.tiers import RANK, Tie, is_of_agent, place_of, tie
from checking_core.matching.window import Window

__all__ = ["Matched", "Question", "Rejected", "Sifted", "question_of", "sift"]

_SEVERITIES = ("informational", "low", "medium", "high", "critical")
_SAME_SEVERITY = {"info": "informational", "information": "informational", "moderate": "medium", "severe": "critical"}
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "": operator.eq,
}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a record has to be in order to count.

    ``named``: the author wrote which detection or trace is meant, by its rule or by a query. ``scoped``: the search
    was for the execution's host alone. ``observes``: whatever happened on the host counts.
    """

    ask: Ask
    rule: str | None = None
    rule_id: str | None = None
    techniques: tuple[str, ...] = ()
    severity: str | None = None
    min_count: int = 1
    named: bool = False
    scoped: bool = False
    observes: bool = False


class Matched(NamedTuple):
    """A record that belongs to the execution, and what shows it."""

    record: AnyRecord
    tie: Tie


class Rejected(NamedTuple):
    """A record that does not, or of which it cannot be told."""

    record: AnyRecord
    reason: Reason


class Sifted(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one question, told apart: the firmest match first, rejected ones in their order."""

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
    def tier(self) -> MatchTier | None:
        """The firmest tier of all matches."""
        return self.matched[0].tie.tier if self.matched else None

    @property
    def reasons(self) -> Counter[Reason]:
        """How many candidates there are of each reason why not."""
        return Counter(candidate.reason for candidate in (*self.rejected, *self.undecided))


def question_of(ask: Ask, config: DetectionConfig, *, scoped: bool = False) -> Question:
    """What a check's configuration asks of the records of one question."""
    alert = config.alert
    if ask not in (Ask.ALERT, Ask.PREVENTION):
        return Question(ask=ask, named=True, scoped=scoped, min_count=1 if ask is Ask.ALIVE else config.min_count)
    if alert is None:
        return Question(ask=ask, scoped=scoped, observes=ask is Ask.ALERT, named=False)
    return Question(
        ask=ask,
        rule=alert.rule,
        rule_id=alert.rule_id,
        techniques=tuple(alert.techniques),
        severity=alert.severity,
        min_count=alert.min_count,
        named=bool(alert.rule or alert.rule_id or alert.query),
        scoped=scoped,
    )


def sift(records: Iterable[AnyRecord], question: Question, identity: Identity, accepted: Window) -> Sifted:
    """Tell the records of one answer apart. A record that came twice is one.

    Args:
        records: as the plugin translated them, in any order.
        question: what a record has to be.
        identity: of the execution.
        accepted: when its traces may lie; see ``Windows``.
    """
    matched: list[Matched] = []
    rejected: list[Rejected] = []
    undecided: list[Rejected] = []
    for record in {record.id: record for record in records}.values():
        verdict = _examine(record, question, identity, accepted)
        if isinstance(verdict, Tie):
            matched.append(Matched(record, verdict))
        elif isinstance(verdict, _Undecided):
            undecided.append(Rejected(record, verdict.reason))
        else:
            rejected.append(Rejected(record, verdict))
    matched.sort(key=lambda found: (RANK[found.tie.tier], _moment(found.record), found.record.id))
    return Sifted(
        matched=tuple(matched),
        rejected=tuple(sorted(rejected, key=_closest)),
        undecided=tuple(sorted(undecided, key=_closest)),
        wanted=question.min_count,
    )


class _Undecided(NamedTuple):
    reason: Reason


_INCOMPLETE = _Undecided(Reason.ALERT_FIELDS_INCOMPLETE)


def _examine(record: AnyRecord, question: Question, identity: Identity, accepted: Window) -> Tie | Reason | _Undecided:
    """What ties a candidate to the execution, or else the first objection to it."""
    place = place_of(identity, record, scoped=question.scoped)
    found = tie(identity, record, place, named=question.named)
    marked = found is not None and found.tier is MatchTier.MARKER
    objections = [
        None if marked else _elsewhere(identity, record, place),
        _untimely(record, accepted),
        _other_than_asked(record, question),
    ]
    for kind in (Reason, _Undecided):  # what is certain outweighs what is not told
        for objection in objections:
            if isinstance(objection, kind):
                return objection
    if found is None:
        return _INCOMPLETE
    loose = found.tier is MatchTier.HOST and not (question.observes or question.ask is Ask.ALIVE)
    return _unrelated(record) if loose else found


def _elsewhere(identity: Identity, record: AnyRecord, place: Place) -> Reason | None:
    """Another host's, or on the right one the red team's own process instead of what that has started."""
    if place is Place.OTHER:
        return Reason.ALERT_OTHER_HOST
    return Reason.TOOLING if is_of_agent(identity, record) else None


def _unrelated(record: AnyRecord) -> Reason | _Undecided:
    """Nothing but the host ties it: an alert of something else, unless it says nothing that could be compared."""
    says = record.techniques or record.commands or record.pid is not None or record.rule or record.rule_id
    return Reason.ALERT_OTHER_RULE if says else _INCOMPLETE


def _untimely(record: AnyRecord, accepted: Window) -> Reason | _Undecided | None:
    """Whether it happened while the execution's traces may lie there.

    The event's own time counts; where an alert has none, the time of its creation.
    """
    start = record.event_at
    if start is None and isinstance(record, Alert):
        start = record.created_at
    if start is None:
        return _INCOMPLETE
    return None if accepted.holds(start, record.event_until) else Reason.ALERT_OUTSIDE_WINDOW


def _other_than_asked(record: AnyRecord, question: Question) -> Reason | _Undecided | None:
    """What the question demands of an alert and this one is not, or does not say."""
    if not isinstance(record, Alert):
        return None
    if record.suppressed:
        return Reason.SUPPRESSED
    if question.rule or question.rule_id:
        names = _same_name(question.rule, record.rule), _same_name(question.rule_id, record.rule_id)
        if True not in names:
            return Reason.ALERT_OTHER_RULE if False in names else _INCOMPLETE
    if question.techniques:
        if not record.techniques:
            return _INCOMPLETE
        if not any(kinship(wanted, found) for wanted in question.techniques for found in record.techniques):
            return Reason.ALERT_OTHER_RULE
    return _severity_problem(record.severity, question.severity)


def _same_name(wanted: str | None, found: str | None) -> bool | None:
    """Whether a rule's name or id is the one that is meant; ``*`` stands for any text."""
    if wanted is None or found is None:
        return None
    ours, theirs = wanted.strip().casefold(), found.strip().casefold()
    return ours == theirs or ("*" in ours and fnmatchcase(theirs, ours.replace("[", "[[]")))


def _severity_problem(found: str | None, wanted: str | None) -> Reason | _Undecided | None:
    if wanted is None:
        return None
    level, limit = wanted.strip(), ""
    for sign in (">=", "<=", ">", "<", "="):
        if level.startswith(sign):
            level, limit = level.removeprefix(sign).strip(), sign
            break
    if found is None:
        return _INCOMPLETE
    ours, theirs = _severity(found), _severity(level)
    if ours is None or theirs is None:
        return None if found.casefold() == level.casefold() else _INCOMPLETE
    return None if _COMPARISONS[limit](ours, theirs) else Reason.ALERT_FIELDS_INCOMPLETE


def _severity(text: str) -> int | None:
    plain = text.strip().casefold()
    plain = _SAME_SEVERITY.get(plain, plain)
    return _SEVERITIES.index(plain) if plain in _SEVERITIES else None


def _moment(record: AnyRecord) -> float:
    return record.event_at.timestamp() if isinstance(record.event_at, datetime) else float("inf")


_CLOSENESS: Sequence[Reason] = (
    Reason.ALERT_FIELDS_INCOMPLETE,
    Reason.SUPPRESSED,
    Reason.TOOLING,
    Reason.ALERT_OTHER_RULE,
    Reason.ALERT_OUTSIDE_WINDOW,
    Reason.ALERT_OTHER_HOST,
)
"""How near a miss is: what almost belonged is shown before what was far away."""


def _closest(candidate: Rejected) -> tuple[int, float, str]:
    return _CLOSENESS.index(candidate.reason), _moment(candidate.record), candidate.record.id
