"""One checked execution as text for a person: verdict, what was asked, what proves it, and what came near."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from checking_core.contracts import Answer, Ask, Evidence, Met, NearMiss, ParsedResults, Prevention
from checking_core.report.words import MET, moment
from checking_core.worker.check_once import Checked
from checking_server.commands.terminal import say

__all__ = ["show_checked"]

_MOST_SHOWN = 10
_STYLES = {Met.YES: "bold green", Met.NO: "bold red", Met.UNKNOWN: "bold magenta"}
_UNASKED = (Answer.NOT_ASKED, Prevention.NOT_ASKED)


def show_checked(found: Checked, console: Console) -> None:
    """Print it, the verdict first."""
    result = found.result
    verdict = f"{result.result_source}: {result.outcome}" + (f" ({result.reason})" if result.reason else "")
    say(console, f"{verdict}; wanted {found.expect}: {MET[found.met]}", _STYLES[found.met])
    for name, text in _facts(found):
        say(console, f"{name:<10}{text}")
    parsed: ParsedResults = result.parsed_results
    _list(console, "Evidence", [_proof(record) for record in parsed.evidence], len(parsed.evidence))
    counts = parsed.near_miss_counts
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    _list(console, f"Near misses: {why}", [_missed(record) for record in parsed.near_misses], sum(counts.values()))
    if not found.task.deadline_passed and not result.final:
        say(console, f"Not final: only an answer after {moment(found.task.deadline)} can prove a no.", "yellow")


def _facts(found: Checked) -> Iterator[tuple[str, str]]:
    """What stands beside the verdict, as far as there is anything."""
    result, about = found.result, found.result.result_metadata
    said = {ask: getattr(result, ask) for ask in Ask}
    if answers := ", ".join(f"{ask} {answer}" for ask, answer in said.items() if answer not in _UNASKED):
        yield "answers", answers
    if result.match_tier:
        yield "tier", result.match_tier
    if flags := [name for name in ("in_control_window", "tooling") if getattr(result, name)]:
        yield "flags", ", ".join(flags)
    if result.searched_from and result.searched_to:
        yield "searched", f"{moment(result.searched_from)} to {moment(result.searched_to)}"
    for line in (result.query_sent or "").splitlines():
        yield "asked", line
    for text in about.get("warnings", ()):
        yield "warning", text


def _list(console: Console, heading: str, lines: list[str], count: int) -> None:
    if not count:
        return
    say(console, heading, "bold")
    for line in lines[:_MOST_SHOWN]:
        say(console, f"  {line}")
    if count > min(len(lines), _MOST_SHOWN):
        say(console, f"  and {count - min(len(lines), _MOST_SHOWN)} more", "dim")


def _proof(record: Evidence) -> str:
    tied = f"{record.tier} by {', '.join(record.matched)}" if record.tier else ""
    return ", ".join(filter(None, (*_what(record), tied, record.url)))


def _missed(record: NearMiss) -> str:
    return ", ".join(filter(None, (record.reason, *_what(record))))


def _what(record: Evidence | NearMiss) -> tuple[str, ...]:
    title = getattr(record, "rule", None) or record.title
    name = f"{title} [{record.id}]" if title else record.id
    return record.kind, name, record.host or "", moment(record.event_at)
