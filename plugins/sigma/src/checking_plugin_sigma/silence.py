"""Why rules that hit nothing prove nothing: a rule that had nothing to look at was not silent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checking_core import Reason
from checking_core.matching.window import Window
from checking_plugin_sigma.events.routing import Logsource
from checking_plugin_sigma.rules.model import RuleSet
from checking_plugin_sigma.telemetry import Reported

__all__ = ["Silence", "silence_of"]

_MOST_NAMED = 3


class Silence(NamedTuple):
    """Why no hit is no answer, and in words which rules it is about."""

    reason: Reason
    words: str


def silence_of(reported: Reported, asked: RuleSet, window: Window, *, observes: bool) -> Silence | None:
    """Why no hit of some rules proves nothing, if it does not.

    Of several rules each could have been the one that hits. Those of another operating system could not, and what only
    observes claims nothing of any single one.

    Args:
        reported: what the host reported.
        asked: the rules of a question.
        window: when a hit would count.
        observes: whether the question means whatever rules there are.
    """
    rules = [rule for rule in asked.rules if reported.concerns(rule.logsource)] or asked.rules
    known = {source: _reason(reported, source, window) for source in {rule.logsource for rule in rules}}
    if observes and None in known.values():
        return None
    for reason, words in _WORDS.items():
        silent = [f"{rule.title} ({rule.about})" for rule in rules if known[rule.logsource] is reason]
        if silent:
            return Silence(reason, f"{words} {_listed(silent)}")
    if asked.refused and not observes:
        return Silence(Reason.NOT_CONVERTIBLE, f"refused: {_listed([rule.title for rule in asked.refused])}")
    return None


_WORDS = {
    Reason.NO_TELEMETRY: "this host reported no event of the log source of",
    Reason.SOURCE_SILENT: "this host reported no event at a known time in the window of the log source of",
}


def _reason(reported: Reported, source: Logsource, window: Window) -> Reason | None:
    if not reported.serves(source):
        return Reason.NO_TELEMETRY
    return None if reported.covers(source, window) else Reason.SOURCE_SILENT


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
