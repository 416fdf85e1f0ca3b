"""A report as tables on a terminal. Colours repeat what the words say: everything can be read without them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from checking_core.contracts import Met, Outcome, RunState
from checking_core.report import OperationReport, OperationsReport, ReportedExecution, ReportLine, next_steps
from checking_core.report.words import (
    MET,
    UNCHECKED,
    check_of,
    evidence_of,
    moment,
    newest_of,
    outcome_of,
    outcomes_of,
    procedure_of,
    short_id,
    summary_of,
    why_of,
)
from checking_server.commands.terminal import cell, say, table

__all__ = ["show", "show_operations", "step_cells"]

_COLOURS = {
    Outcome.PENDING: "blue",
    Outcome.BLOCKED: "bold green",
    Outcome.ALERTED: "green",
    Outcome.MATCHED: "cyan",
    Outcome.LOGGED: "yellow",
    Outcome.NO_ALERT: "red",
    Outcome.NONE: "bold red",
    Outcome.NOT_APPLICABLE: "dim",
    Outcome.NOT_RUN: "dim",
    Outcome.INCONCLUSIVE: "magenta",
}
_MET_COLOURS = {Met.YES: "green", Met.NO: "bold red", Met.UNKNOWN: "magenta", None: ""}

_COLUMNS = ("#", "Host", "Procedure", "Check", "Id", "Wanted", "Outcome", "Met", "Why", "Evidence")
_NEVER_CUT = ("#", "Id", "Wanted", "Outcome", "Met")
_NEEDS = {"Wanted": 120, "Evidence": 120, "Id": 150}
"""Columns that only a terminal of this width has room for."""
_WIDE = 120


def show(report: OperationReport, console: Console) -> None:
    """Print an operation: what it was, a line per check, the counts, and what to do next."""
    operation = report.operation
    say(console, operation.name or str(operation.operation_id), "bold")
    hosts = {line.execution.agent_host for line in report.lines}
    where = f"on {next(iter(hosts))}" if len(hosts) == 1 else ""
    facts = (f"operation {operation.operation_id}", operation.state, moment(operation.operation_start), where)
    say(console, ", ".join(filter(None, facts)), "dim")
    if report.remark:
        say(console, report.remark)
    console.print()
    if report.lines:
        _print_lines(report, console, hosts=len(hosts))
    say(console, summary_of(report.summary), "bold")
    if steps := next_steps(report):
        console.print("Next:")
        for step in steps:
            say(console, f"  {step}")


def _print_lines(report: OperationReport, console: Console, *, hosts: int) -> None:
    wide = console.width >= _WIDE
    left_out = {name for name, width in _NEEDS.items() if console.width < width} | ({"Host"} if hosts == 1 else set())
    columns = [name for name in _COLUMNS if name not in left_out]
    lines = table(*columns, whole=_NEVER_CUT)
    last_step = 0
    for line in report.lines:
        told = {} if line.execution.step == last_step else step_cells(line.execution, wide=wide)
        cells = told | _verdict_cells(line)
        lines.add_row(*(cells.get(name, "") for name in columns))
        last_step = line.execution.step
    console.print(lines)
    console.print()


def step_cells(execution: ReportedExecution, *, wide: bool) -> dict[str, Text]:
    """The facts of an execution, by column: they stand with its first check only."""
    style = "" if execution.run_state is RunState.RAN else "yellow"
    return {
        "#": cell(str(execution.step)),
        "Host": cell(execution.agent_host),
        "Procedure": cell(procedure_of(execution, technique=wide), style),
    }


def _verdict_cells(line: ReportLine) -> dict[str, Text]:
    check = line.check
    if check is None:
        return {"Why": cell(UNCHECKED[line.unchecked], "dim")} if line.unchecked else {}
    return {
        "Check": cell(check_of(check)),
        "Id": cell(short_id(check)),
        "Wanted": cell(check.expect),
        "Outcome": cell(outcome_of(check), _COLOURS[check.outcome]),
        "Met": cell(MET[check.met], _MET_COLOURS[check.met]),
        "Why": cell(why_of(check)),
        "Evidence": cell(evidence_of(check)),
    }


def show_operations(report: OperationsReport, console: Console) -> None:
    """Print the newest operations with their counts."""
    if not report.operations:
        say(console, "No operation is stored yet. Next: checking ingest FILE")
        return
    lines = table(
        "Operation", "Id", "State", "When", "Executions", "Checks", "Outcomes", whole=("Id", "When", "Checks")
    )
    for line in report.operations:
        operation, counts = line.operation, line.counts
        lines.add_row(
            cell(operation.name),
            cell(str(operation.operation_id)),
            cell(operation.state or ""),
            cell(moment(operation.operation_start or operation.created_at)),
            cell(str(counts.executions)),
            cell(f"{counts.checks - counts.open} closed, {counts.open} open"),
            cell(outcomes_of(counts)),
        )
    console.print(lines)
    console.print()
    say(console, f"{newest_of(report)} Next: checking report ID")
