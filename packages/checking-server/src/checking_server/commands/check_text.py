"""One checked execution as text for a person: verdict, why, what was asked, what proves it, and what came near."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console

from checking_core.contracts import Answer, Ask, Met, Prevention
from checking_core.report import ReportedCheck, ReportedEvidence, ReportedNearMiss, why
from checking_core.report.words import MET, NEAR, counted_by_reason, moment
from checking_core.worker.check_once import Checked
from checking_server.commands.terminal import say

__all__ = ["show_checked"]

_MOST_SHOWN = 10
_STYLES = {Met.YES: "bold green", Met.NO: "bold red", Met.UNKNOWN: "bold magenta"}
_UNASKED = (Answer.NOT_ASKED, Prevention.NOT_ASKED)


def show_checked(found: Checked, console: Console) -> None:
    """Print it, the verdict first."""
    check = reported(found)
    verdict = f"{check.backend}: {check.outcome}" + (f" ({check.reason})" if check.reason else "")
    say(console, f"{verdict}; wanted {check.expect}: {MET[found.met]}", _STYLES[found.met])
    for sentence in why(check):
        say(console, sentence)
    for name, text in _facts(found):
        say(console, f"{name:<10}{text}")
    _list(console, "Evidence", list(map(_proof, check.evidence)), len(check.evidence))
    near = f"Near misses: {counted_by_reason(check.near_misses)}"
    _list(console, near, list(map(_missed, check.nearest)), sum(check.near_misses.values()))
    if not found.task.deadline_passed and not found.result.final:
        say(console, f"Not final: only an answer after {moment(check.deadline)} can prove a no.", "yellow")


def reported(found: Checked) -> ReportedCheck:
    """The check as a report would tell it, had it been stored."""
    result, task = found.result, found.task
    started, deadline = task.execution_context.started_at, task.deadline
    assert result.outcome is not None and started and deadline  # noqa: S101, PT018 - it was asked and judged
    told = msgspec.to_builtins(result.parsed_results)
    return ReportedCheck(
        id=task.detection_execution_id,
        backend=result.result_source,
        expectation_id=None,
        expect=found.expect,
        outcome=result.outcome,
        met=found.met,
        axes=result.axes,
        late=result.alert_at is not None and result.alert_at > deadline,
        ambiguous=False,
        overridden=False,
        seen_at=result.result_timestamp,
        time_to_detect_s=(result.alert_at - started).total_seconds() if result.alert_at else None,
        censored=False,
        looks=1,
        next_look_at=None,
        deadline=deadline,
        evidence=msgspec.convert(told["evidence"], tuple[ReportedEvidence, ...]),
        near_misses=told["near_miss_counts"],
        nearest=msgspec.convert(told["near_misses"], tuple[ReportedNearMiss, ...]),
        note="",
        **{name: getattr(result, name) for name in _SAME_NAME},
    )


_SAME_NAME = (
    *("status", "reason", "match_tier", "in_control_window", "tooling", "lift"),
    *("event_at", "indexed_at", "alert_at"),
)


def _facts(found: Checked) -> Iterator[tuple[str, str]]:
    """What stands beside the verdict, as far as there is anything."""
    result = found.result
    said = {ask: getattr(result, ask) for ask in Ask}
    if answers := ", ".join(f"{ask} {answer}" for ask, answer in said.items() if answer not in _UNASKED):
        yield "answers", answers
    if result.searched_from and result.searched_to:
        yield "searched", f"{moment(result.searched_from)} to {moment(result.searched_to)}"
    for line in (result.query_sent or "").splitlines():
        yield "asked", line
    for text in result.result_metadata.get("warnings", ()):
        yield "warning", text


def _list(console: Console, heading: str, lines: Sequence[str], count: int) -> None:
    if not count:
        return
    say(console, heading, "bold")
    shown = lines[:_MOST_SHOWN]
    for line in shown:
        say(console, f"  {line}")
    if count > len(shown):
        say(console, f"  and {count - len(shown)} more", "dim")


def _proof(record: ReportedEvidence) -> str:
    tied = f"tied by {', '.join(record.matched)} ({record.tier})" if record.tier else ""
    return ", ".join(filter(None, (*_what(record), record.severity, tied, record.url)))


def _missed(record: ReportedNearMiss) -> str:
    return f"{', '.join(_what(record))}: {NEAR.get(record.reason, record.reason)}"


def _what(record: ReportedEvidence | ReportedNearMiss) -> list[str]:
    told = (record.kind, record.id, repr(record.title) if record.title else "", record.host, moment(record.event_at))
    return [text for text in told if text]
