"""What is planned for an operation, as a table on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from checking_core.contracts import Ask, DetectionConfig, PlannedCheck
from checking_core.report.words import counted
from checking_server.commands.report_table import step_cells
from checking_server.commands.terminal import cell, say, table
from checking_server.planning import PlannedOperation, PlannedStep

__all__ = ["show_plan"]

_COLUMNS = ("#", "Host", "Procedure", "Check", "Wanted", "Asks", "Looks")


def show_plan(planned: PlannedOperation, console: Console) -> None:
    """Print steps and checks, what cannot be read, and the backends that nothing serves."""
    say(console, planned.title, "bold")
    lines = table(*_COLUMNS, whole=("#", "Wanted"))
    for step in planned.steps:
        for cells in _rows(step, wide=console.is_terminal is False or console.width >= 120):
            lines.add_row(*(cells.get(name, "") for name in _COLUMNS))
    if planned.steps:
        console.print(lines)
        console.print()
    _print_summary(planned, console)


def _rows(step: PlannedStep, *, wide: bool) -> list[dict[str, Text]]:
    first = step_cells(step.execution, wide=wide)
    if not step.checks:
        return [{**first, "Check": cell("no check", "dim")}]
    head, *more = map(_check_cells, step.checks)
    return [{**first, **head}, *more]


def _check_cells(check: PlannedCheck) -> dict[str, Text]:
    name = f"{check.expectation_id} @ {check.backend}" if check.expectation_id else check.backend
    cells = {"Check": cell(name), "Wanted": cell(check.expect)}
    if check.closed is not None:
        why = ": ".join(filter(None, (check.closed.reason, check.closed.note)))
        return {**cells, "Asks": cell(check.closed.outcome, "yellow"), "Looks": cell(why)}
    asks = DetectionConfig.model_validate(check.config).asks
    looks = f"{check.timing.settle:g} s to {check.timing.deadline:g} s after it ended"
    return {**cells, "Asks": cell(", ".join(ask for ask in Ask if ask in asks)), "Looks": cell(looks)}


def _print_summary(planned: PlannedOperation, console: Console) -> None:
    checks = [check for step in planned.steps for check in step.checks]
    bare = sum(not step.checks for step in planned.steps)
    steps = counted(len(planned.steps), "execution")
    say(console, f"{steps}, {bare} of them without checks; {counted(len(checks), 'check')}.", "bold")
    for line in planned.rejected:
        say(console, f"Cannot be read: {line}", "red")
    for backend in sorted({check.backend for check in checks if check.closed is None} - planned.backends):
        say(console, f"The backend {backend} is not configured: its checks will be inconclusive.", "red")
