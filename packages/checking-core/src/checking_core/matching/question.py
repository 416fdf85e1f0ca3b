"""What a check asks of a record, whoever's it is: the rule, technique and severity that its author named. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from checking_core.contracts import Ask, DetectionConfig, Reason
from checking_core.contracts.technique import kinship
from checking_core.errors import QueryInvalidError
from checking_core.matching.record import Alert, AnyRecord, told

__all__ = ["INCOMPLETE", "Objection", "Question", "firmest", "objection_to", "question_of", "same_name"]

_SEVERITIES = ("informational", "low", "medium", "high", "critical")
_SAME_SEVERITY = {"info": "informational", "information": "informational", "moderate": "medium", "severe": "critical"}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
"""In the order in which they are looked for."""
_NUMBER = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


class Objection(NamedTuple):
    """Why a record does not belong; one that is not ``certain`` says that this cannot be told."""

    reason: Reason
    certain: bool = True


INCOMPLETE = Objection(Reason.ALERT_FIELDS_INCOMPLETE, certain=False)


class _Level(NamedTuple):
    """How severe something is, on a scale of words or on a product's own of numbers."""

    in_words: bool
    height: float


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

    @property
    def host_is_enough(self) -> bool:
        """Whether a record has to be of the host only, not of the execution."""
        return self.observes or self.ask is Ask.ALIVE


def question_of(ask: Ask, config: DetectionConfig, *, scoped: bool = False) -> Question:
    """What a check's configuration asks of the records of one question.

    Raises:
        QueryInvalidError: it compares severities with something that is none.
    """
    if ask is Ask.ALIVE:
        return Question(ask=ask, named=True, scoped=scoped)
    if ask is Ask.PREVENTION:
        return Question(ask=ask, scoped=scoped)
    if ask is Ask.RULE and config.rule is None and config.sigma is None:
        return Question(ask=ask, scoped=scoped, observes=True)
    if ask in (Ask.RULE, Ask.TELEMETRY):
        return Question(ask=ask, named=True, scoped=scoped, min_count=config.min_count)
    alert = config.alert
    if alert is None:
        return Question(ask=ask, scoped=scoped, observes=Ask.ALERT in config.asks)
    if alert.severity is not None:
        _limit_of(alert.severity)
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


def objection_to(record: AnyRecord, question: Question) -> Objection | None:
    """What the question demands of an alert and this one is not, or does not say; other records may be any.

    That something was stopped is told by whatever alert there is, of any rule and whether an analyst sees it or not.
    """
    if not isinstance(record, Alert) or question.ask is Ask.PREVENTION:
        return None
    if record.suppressed:
        return Objection(Reason.SUPPRESSED)
    objections = [_other_rule(record, question), _other_technique(record, question), _other_severity(record, question)]
    return firmest(objections)


def firmest(objections: list[Objection | None]) -> Objection | None:
    """The first that is certain, or else the first: what is known outweighs what is not told."""
    raised = [objection for objection in objections if objection is not None]
    return next((objection for objection in raised if objection.certain), raised[0] if raised else None)


def _other_rule(alert: Alert, question: Question) -> Objection | None:
    both = (question.rule, alert.rule), (question.rule_id, alert.rule_id)
    wanted = [(ours, theirs) for ours, theirs in both if ours]
    names = [(ours, name) for ours, theirs in wanted for name in told(theirs, *alert.rule_aliases)]
    if not wanted or any(same_name(ours, name) for ours, name in names):
        return None
    return Objection(Reason.ALERT_OTHER_RULE) if any(told(theirs) for _, theirs in wanted) else INCOMPLETE


def same_name(wanted: str, found: str) -> bool:
    """Whether a rule's name or id is the one that is meant; ``*`` stands for any text."""
    ours, theirs = wanted.strip().casefold(), found.strip().casefold()
    return ours == theirs or fnmatchcase(theirs, ours.replace("[", "[[]").replace("?", "[?]"))


def _other_technique(alert: Alert, question: Question) -> Objection | None:
    if not question.techniques:
        return None
    techniques = told(*alert.techniques)
    if not techniques:
        return INCOMPLETE
    related = any(kinship(wanted, found) for wanted in question.techniques for found in techniques)
    return None if related else Objection(Reason.ALERT_OTHER_RULE)


def _other_severity(alert: Alert, question: Question) -> Objection | None:
    if question.severity is None:
        return None
    severity = next(iter(told(alert.severity)), None)
    if severity is None:
        return INCOMPLETE
    sign, wanted = _limit_of(question.severity)
    found = _level_of(severity)
    if isinstance(wanted, str):
        fits = severity.strip().casefold() == wanted
    elif found is None or found.in_words is not wanted.in_words:
        return INCOMPLETE
    else:
        fits = _COMPARISONS[sign](found.height, wanted.height)
    return None if fits else Objection(Reason.ALERT_OTHER_SEVERITY)


def _limit_of(severity: str) -> tuple[str, _Level | str]:
    """``>=high`` as its sign and level; a word that only the product knows as it is, to be compared for equality."""
    text = severity.strip().casefold()
    sign = next((sign for sign in _COMPARISONS if text.startswith(sign)), "")
    name = text.removeprefix(sign).strip()
    level = _level_of(name)
    if level is None and sign not in ("", "="):
        known = ", ".join(_SEVERITIES)
        raise QueryInvalidError(f"detection_config.alert.severity: {name[:50]!r} is no number and none of {known}")
    return sign or "=", name if level is None else level


def _level_of(text: str) -> _Level | None:
    plain = text.strip().casefold()
    name = _SAME_SEVERITY.get(plain, plain)
    if name in _SEVERITIES:
        return _Level(in_words=True, height=_SEVERITIES.index(name))
    return _Level(in_words=False, height=float(plain)) if _NUMBER.fullmatch(plain) else None
