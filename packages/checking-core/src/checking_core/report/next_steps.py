"""What a reader of a report can do next: what is still open, what could not be asked, what nobody expected."""

from __future__ import annotations

from collections.abc import Iterator

from checking_core.contracts import Met, Outcome, Reason, RunState
from checking_core.report.shapes import OperationReport, ReportedCheck, Unchecked
from checking_core.report.words import moment, short_id

__all__ = ["next_steps", "remedy_of"]

_REMEDY: dict[Reason, str] = {
    Reason.BACKEND_UNREACHABLE: "check its address and the network: checking plugins show {backend}",
    Reason.BACKEND_AUTH_FAILED: "check the credentials: checking plugins show {backend}",
    Reason.BACKEND_RATE_LIMITED: "ask less at a time: max_in_flight of the backend in CHECKING_BACKENDS",
    Reason.BACKEND_PARTIAL_ANSWER: "the backend answered from a part of its data: look at its state and limits",
    Reason.SOURCE_SILENT: "the source sent no events at all: check that it still feeds {backend}",
    Reason.QUERY_INVALID: "mend the expectation or the hint: checking expectations lint",
    Reason.NOT_CONVERTIBLE: "the rule cannot be converted for {backend}: write its query",
    Reason.UNSUPPORTED_PLATFORM: "nobody serves {backend}: install its plugin, or name it in CHECKING_BACKENDS",
    Reason.IN_CONTROL_WINDOW: "the same records appear before the operation: name the rule or the process",
    Reason.CLOCK_ASTRAY: "the host's clock is off by more than an hour: correct it, and run the step again",
    Reason.PLUGIN_ERROR: "the plugin failed: the note says where; checking plugins show {backend}",
    Reason.WORKER_LOST: "no worker answered: look at the worker's log",
    Reason.DEADLINE_NOT_REACHED: "the answer came too early to prove anything: give the backend more time (deadline)",
}


def next_steps(report: OperationReport) -> list[str]:
    """Sentences, the most urgent first; none if nothing is left to do. Safe to show: no text of an attacker."""
    return [*_open(report), *_inconclusive(report), *_not_met(report), *_in_doubt(report), *_unexpected(report)]


def remedy_of(check: ReportedCheck) -> str:
    """What can be done about what kept a check from a verdict; nothing if there is nothing to mend."""
    return _REMEDY[check.reason].format(backend=check.backend) if check.reason in _REMEDY else ""


def _open(report: OperationReport) -> Iterator[str]:
    waiting = sum(check.next_look_at is not None for check in _checks(report))
    running = report.summary.open - waiting
    if waiting:
        wait = "check waits" if waiting == 1 else "checks wait"
        yield f"{waiting} {wait} for the next look until {moment(report.summary.next_look_at)}: run checking serve."
    if running:
        yield f"{running} {_are(running, 'check')} under way: run checking serve, or look again in a moment."


def _inconclusive(report: OperationReport) -> Iterator[str]:
    found: dict[tuple[Reason, str], int] = {}
    for check in _checks(report):
        if check.outcome is Outcome.INCONCLUSIVE and check.reason in _REMEDY:
            key = (check.reason, check.backend)
            found[key] = found.get(key, 0) + 1
    for (reason, backend), count in sorted(found.items(), key=lambda item: -item[1]):
        remedy = _REMEDY[reason].format(backend=backend)
        yield f"{count} {_are(count, 'check')} inconclusive on {backend} ({reason}): {remedy}."


def _not_met(report: OperationReport) -> Iterator[str]:
    if missed := [check for check in _checks(report) if check.met is Met.NO]:
        count = len(missed)
        do = "check does" if count == 1 else "checks do"
        yield f"{count} {do} not meet what is expected: defences to work on. Why: {_explain(missed[0])}."


def _in_doubt(report: OperationReport) -> Iterator[str]:
    if doubtful := [check for check in _checks(report) if check.ambiguous]:
        count = len(doubtful)
        rests = "verdict rests" if count == 1 else "verdicts rest"
        yield f"{count} {rests} on records that other executions claim too. Which: {_explain(doubtful[0])}."


def _explain(check: ReportedCheck) -> str:
    return f"checking explain {short_id(check)}"


def _unexpected(report: OperationReport) -> Iterator[str]:
    count = sum(
        line.unchecked is Unchecked.NOTHING_EXPECTED and line.execution.run_state is not RunState.NEVER_RAN
        for line in report.lines
    )
    if count:
        ran = "execution was" if count == 1 else "executions were"
        operation = report.operation.operation_id
        yield f"{count} {ran} expected nowhere: write expectations, then: checking expectations plan {operation}."


def _checks(report: OperationReport) -> Iterator[ReportedCheck]:
    return (line.check for line in report.lines if line.check is not None)


def _are(count: int, what: str) -> str:
    return f"{what} is" if count == 1 else f"{what}s are"
