"""All rules over all telemetry, once: what each rule hit, what could not be asked, and why. Nothing is left unsaid."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from checking_core.contracts.technique import current_technique, kinship
from checking_plugin_sigma.evaluate.actions import Actions
from checking_plugin_sigma.evaluate.scan import Hit, Scanner
from checking_plugin_sigma.rules.model import Refused, Rule, RuleSet

__all__ = ["RuleHits", "Silent", "Survey", "is_of", "layer_of", "survey"]

_MOST_PLACES = 5


class RuleHits(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that hit. ``actions`` counts a process start once, though two logs may have recorded it."""

    id: str
    title: str
    author: str | None
    licence: str | None
    level: str | None
    techniques: tuple[str, ...]
    file: str
    events: int
    actions: int
    channels: dict[str, int]
    hosts: tuple[str, ...]
    first: tuple[str, ...]


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that had no event of its log source to look at."""

    id: str
    title: str
    logsource: str


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What rules made of telemetry. ``evaluated``, ``not_evaluable``, ``refused`` and ``left_out`` add up to ``given``.

    ``seconds`` do not include the reading of the rules, which take ``rule_seconds``.
    """

    files: int
    events: int
    unreadable: int
    given: int
    evaluated: int
    left_out: int
    hits: tuple[RuleHits, ...]
    not_evaluable: tuple[Silent, ...]
    refused: tuple[Refused, ...]
    seconds: float
    rule_seconds: float = 0.0


def survey(
    rules: RuleSet,
    files: Sequence[Path],
    *,
    technique: str | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Survey:
    """Evaluate rules over files.

    Args:
        rules: all that were given.
        files: the telemetry.
        technique: ask only the rules of this technique or one that it was renamed to; the others are counted.
        progress: is told how many bytes were read.
        options: of the scanner.

    Raises:
        BackendUnreachableError: a file cannot be read.
    """
    asked = [rule for rule in rules.rules if technique is None or is_of(rule, technique)]
    scanner = Scanner(asked, progress=progress, **options)
    began = time.monotonic()
    found: dict[int, _Tally] = {}
    for hit in scanner.scan_all(files):
        found.setdefault(id(hit.rule), _Tally(hit.rule)).add(hit)
    evaluable = [rule for rule in asked if scanner.evaluable(rule)]
    silent = [rule for rule in asked if rule not in evaluable] if len(evaluable) < len(asked) else []
    hits = [tally.hits() for tally in found.values()]
    return Survey(
        files=len(files),
        events=scanner.events + scanner.left_out,
        unreadable=scanner.unreadable.total() + scanner.unfinished.total(),
        given=rules.given,
        evaluated=len(asked) - len(silent),
        left_out=len(rules.rules) - len(asked),
        hits=tuple(sorted(hits, key=lambda one: (_LEVELS.get(one.level or "", 9), -one.actions, one.title))),
        not_evaluable=tuple(Silent(id=rule.id, title=rule.title, logsource=rule.about) for rule in silent),
        refused=rules.refused,
        seconds=round(time.monotonic() - began, 3),
    )


_LEVELS = {level: place for place, level in enumerate(("critical", "high", "medium", "low", "informational"))}


def layer_of(found: Survey) -> dict[str, Any]:
    """The hits as a layer of the ATT&CK Navigator: the score of a technique is the number of rules that hit."""
    rules: dict[str, list[RuleHits]] = {}
    for one in found.hits:
        for technique in {current_technique(name) for name in one.techniques}:
            rules.setdefault(technique, []).append(one)
    return {
        "name": "Sigma rules that hit",
        "versions": {"navigator": "5.1.0", "layer": "4.5"},
        "domain": "enterprise-attack",
        "description": f"{len(found.hits)} of {found.evaluated} evaluated rules hit {found.events} events",
        "techniques": [
            {"techniqueID": name, "score": len(ours), "comment": "; ".join(_credited(one) for one in ours)}
            for name, ours in sorted(rules.items())
        ],
        "gradient": {
            "colors": ["#ffffff", "#66b1ff"],
            "minValue": 0,
            "maxValue": max(map(len, rules.values()), default=1),
        },
    }


def is_of(rule: Rule, technique: str) -> bool:
    """Whether a rule is tagged with a technique, its parent, a sub-technique of it, or one that it was renamed to."""
    return any(kinship(technique, own) for own in rule.techniques)


class _Tally:
    """What a rule hit, counted: no event is kept."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._events = 0
        self._actions = Actions()
        self._channels: Counter[str] = Counter()
        self._hosts: set[str] = set()
        self._first: list[str] = []

    def add(self, hit: Hit) -> None:
        self._events += 1
        self._actions.add(hit)
        self._channels[hit.event.text("Channel")] += 1
        self._hosts.add(hit.event.host)
        if len(self._first) < _MOST_PLACES:
            self._first.append(f"{hit.path.name}:{hit.event.line}")

    def hits(self) -> RuleHits:
        rule = self._rule
        return RuleHits(
            id=rule.id,
            title=rule.title,
            author=rule.author,
            licence=rule.licence,
            level=rule.level,
            techniques=rule.techniques,
            file=rule.source,
            events=self._events,
            actions=self._actions.count,
            channels=dict(self._channels),
            hosts=tuple(sorted(self._hosts - {""})),
            first=tuple(self._first),
        )


def _credited(one: RuleHits) -> str:
    return f"{one.title} (by {one.author})" if one.author else one.title
