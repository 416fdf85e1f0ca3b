"""What a survey and a self-test found, for people at a terminal. Colours repeat what the words say."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checking_core.report.escape import visible
from checking_plugin_sigma.survey import RuleHits, Survey

if TYPE_CHECKING:
    from checking_plugin_sigma.selftest import Trial

__all__ = ["console", "show_survey", "show_trials"]

_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow"}
_WIDTH_OF_A_FILE = 200
_MOST_REFUSED = 10


def console() -> Console:
    """A console on stdout; what is no terminal gets long lines, and no colour."""
    chosen = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if chosen else _WIDTH_OF_A_FILE, highlight=False, emoji=False)


def show_survey(found: Survey, to: Console) -> None:
    """Print which rules hit, the counts, what could not be asked, and the time it took."""
    if found.hits:
        to.print(
            _table(("Level", "Rule", "Techniques", "Actions", "Events", "Hosts", "First"), map(_cells, found.hits))
        )
        to.print()
    for words in _counts(found):
        _say(to, words)
    for refused in found.refused[:_MOST_REFUSED]:
        _say(to, f"Refused: {refused.title or refused.source} {refused.problem}", "yellow")
    if len(found.refused) > _MOST_REFUSED:
        _say(to, f"{len(found.refused) - _MOST_REFUSED} more are refused: --format json lists all", "yellow")


def show_trials(trials: Sequence[Trial], to: Console) -> None:
    """Print what became of each verdict."""
    for trial in trials:
        word, style = ("as it should be", "green") if trial.passed else ("WRONG", "bold red")
        _say(to, f"{trial.rule}: {trial.change}: {trial.outcome} ({trial.reason or 'no reason'}), {word}", style)
    wrong = sum(not trial.passed for trial in trials)
    rules = len({trial.rule for trial in trials})
    _say(to, f"{len(trials)} verdicts of {rules} rules, {wrong} of them wrong.", "bold")


def _cells(one: RuleHits) -> list[Text]:
    author = f" (by {one.author})" if one.author else ""
    return [
        _cell(one.level or "", _STYLES.get(one.level or "", "")),
        Text(visible(f"{one.title}{author}"), overflow="fold"),
        _cell(", ".join(one.techniques)),
        _cell(str(one.actions)),
        _cell(str(one.events)),
        _cell(", ".join(one.hosts)),
        _cell(one.first[0]),
    ]


def _counts(found: Survey) -> list[str]:
    left_out = f", {found.left_out} of other techniques left out" if found.left_out else ""
    silent = len(found.not_evaluable)
    speed = round(found.events / found.seconds) if found.seconds else found.events
    rules = f"{found.given} rules: {found.evaluated} evaluated, {silent} without any event of their log source"
    return [
        f"{rules}, {len(found.refused)} refused{left_out}.",
        f"{len(found.hits)} rules hit. {found.events} events in {found.files} files, {found.unreadable} unreadable.",
        f"{found.seconds:.2f} s for the events ({speed} a second), {found.rule_seconds:.2f} s for the rules.",
    ]


def _table(headings: Sequence[str], rows: map[list[Text]]) -> Table:
    found = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in headings:
        found.add_column(heading, no_wrap=heading in ("Level", "Actions", "Events"))
    for row in rows:
        found.add_row(*row)
    return found


def _cell(text: str, style: str = "") -> Text:
    return Text(visible(text), style=style, no_wrap=True, overflow="ellipsis")


def _say(to: Console, text: str, style: str = "") -> None:
    to.print(Text(visible(text), style=style), soft_wrap=not to.is_terminal)
