"""The words in which tables tell a line of a report. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from checking_core.contracts import Answer, Met, Outcome, Prevention, Reason, RunState
from checking_core.report.shapes import Counts, OperationsReport, ReportedCheck, ReportedExecution, Summary, Unchecked

__all__ = [
    "FLAGS",
    "MET",
    "NEAR",
    "UNCHECKED",
    "check_of",
    "counted",
    "counted_by_reason",
    "evidence_of",
    "moment",
    "near_misses_of",
    "newest_of",
    "outcome_of",
    "outcomes_of",
    "procedure_of",
    "short_id",
    "summary_of",
    "why_of",
]

MET = {Met.YES: "met", Met.NO: "NOT met", Met.UNKNOWN: "unknown", None: ""}

UNCHECKED = {Unchecked.CLEANUP: "cleanup, not checked", Unchecked.NOTHING_EXPECTED: "nothing expected"}

FLAGS = ("late", "ambiguous", "in_control_window", "tooling", "overridden")

NEAR: Mapping[str, str] = {
    Reason.ALERT_OTHER_HOST: "of another host",
    Reason.ALERT_OTHER_RULE: "of another rule",
    Reason.ALERT_OTHER_SEVERITY: "of another severity",
    Reason.ALERT_OUTSIDE_WINDOW: "outside the window",
    Reason.ALERT_FIELDS_INCOMPLETE: "without what would tell",
    Reason.SUPPRESSED: "suppressed",
    Reason.TOOLING: "of the red team's own process",
}
"""What is wrong with a near miss, to be said behind its number."""


def moment(when: datetime | None) -> str:
    """To the second, in UTC."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if when else ""


def procedure_of(execution: ReportedExecution, *, technique: bool = True) -> str:
    """Technique and name, the command where there is no name; what became of it unless it simply ran."""
    state = "" if execution.run_state is RunState.RAN else f"{execution.run_state}:"
    number = execution.technique_id if technique else ""
    return " ".join(filter(None, (state, number, execution.procedure_name or execution.command)))


def check_of(check: ReportedCheck) -> str:
    """The expectation, if there is one, and the backend."""
    return f"{check.expectation_id} @ {check.backend}" if check.expectation_id else check.backend


def short_id(check: ReportedCheck) -> str:
    """As much of a check's id as names it in practice; a command that finds several says so."""
    return str(check.id)[:8]


def outcome_of(check: ReportedCheck) -> str:
    """The headline, and beside a block whether there was an alert too: one must not hide the other."""
    axes = check.axes
    if axes is not None and axes.prevention is Prevention.BLOCKED and axes.alert is Answer.YES:
        return f"{check.outcome}, alerted"
    if axes is not None and axes.prevention is Prevention.TERMINATED:
        return f"{check.outcome}, terminated"
    return check.outcome.value


def why_of(check: ReportedCheck) -> str:
    """Reason, time to detect, flags, near misses and note, as far as there are any."""
    if check.is_open:
        waits = f"asked again {moment(check.next_look_at)}" if check.next_look_at else check.status.value
        return "; ".join(filter(None, (waits, check.note)))
    took = f"after {check.time_to_detect_s:.0f} s" if check.time_to_detect_s is not None else ""
    flags = [name for name in FLAGS if getattr(check, name)]
    near = near_misses_of(check.near_misses)
    reason = check.reason.value if check.reason else ""
    return "; ".join(filter(None, (reason, took, *flags, near, check.note)))


def near_misses_of(counts: Mapping[str, int]) -> str:
    """How many candidates were rejected, and why; nothing if none was."""
    if not (missed := sum(counts.values())):
        return ""
    return f"{missed} near {'miss' if missed == 1 else 'misses'} ({counted_by_reason(counts)})"


def counted_by_reason(counts: Mapping[str, int]) -> str:
    """Near misses by what is wrong with them, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {NEAR.get(reason, reason)}" for reason, count in ordered)


def evidence_of(check: ReportedCheck) -> str:
    """The first record that proves the verdict, and how many more there are."""
    if not check.evidence:
        return ""
    first, *more = check.evidence
    return f"{first.title or first.rule or first.id}{f' (+{len(more)})' if more else ''}"


def outcomes_of(counts: Counts) -> str:
    """The outcomes that occur, each with its count."""
    return ", ".join(f"{counts.by_outcome[outcome]} {outcome}" for outcome in Outcome if counts.by_outcome[outcome])


def newest_of(report: OperationsReport) -> str:
    """What a list leaves out."""
    least = "at least " if report.total_is_minimum else ""
    return f"The newest {len(report.operations)} of {least}{report.total}."


def summary_of(summary: Summary) -> str:
    """One line: executions, checks by outcome, by what was wanted, and what is still open."""
    checks = f"{counted(summary.checks, 'check')}: {outcomes_of(summary)}" if summary.checks else "no checks"
    met = ", ".join(f"{summary.by_met[word]} {MET[word]}" for word in Met if summary.by_met[word])
    unchecked = f", {summary.unchecked_executions} of them without checks" if summary.unchecked_executions else ""
    executions = f"{counted(summary.executions, 'execution')}{unchecked}"
    return "; ".join(filter(None, (executions, checks, met))) + "."


def counted(count: int, what: str) -> str:
    """A number of things, in the singular where it is one."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
