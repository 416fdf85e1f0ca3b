"""What is planned for an operation, as a table on a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from checking_core.contracts import Ask, DetectionConfig, PlannedCheck
from checking_core.plugin.forecast import Load
from checking_core.report.words import counted
from checking_server.commands.report_table import step_cells
from checking_server.commands.terminal import cell, say, table
from checking_server.planning import PlannedOperation, PlannedStep

__all__ = ["show_plan"]

_TOLERABLE = 60.0
"""Seconds after its deadline that an answer may come without anybody minding."""
_MINUTES = 180.0
_COLUMNS = ("#", "Host", "Procedure", "Check", "Wanted", "Asks", "Looks")


def show_plan(planned: PlannedOperation, loads: Mapping[str, Load], console: Console) -> None:
    """Print steps and checks, how much each backend will be asked, and what a person should look at."""
    say(console, planned.title, "bold")
    lines = table(*_COLUMNS, whole=("#", "Wanted"))
    for step in planned.steps:
        for cells in _rows(step, wide=console.is_terminal is False or console.width >= 120):
            lines.add_row(*(cells.get(name, "") for name in _COLUMNS))
    if planned.steps:
        console.print(lines)
        console.print()
    _print_summary(planned, console)
    for backend, load in loads.items():
        _print_load(backend, load, console)
    for message in planned.odd:
        say(console, str(message), "yellow")


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
    for backend in sorted({check.backend for check in checks if check.closed is None} - planned.backends.keys()):
        say(console, f"The backend {backend} is not configured: its checks will be inconclusive.", "red")


def _print_load(backend: str, load: Load, console: Console) -> None:
    """The most that comes, if nothing is ever found; and whether it is too much."""
    most = f"{counted(load.checks, 'check')}, at most {counted(load.looks, 'look')}"
    searches = f"{load.searches} search{'' if load.searches == 1 else 'es'}"
    needs = f", {_span(load.seconds)} of the backend's budget" if load.seconds is not None else ""
    say(console, f"{backend}: {most} and {searches}{needs}.")
    if load.late > _TOLERABLE:
        problem = f"{backend} cannot meet every deadline: some searches wait {_span(load.late)} for their turn"
        say(console, f"{problem}; give the checks a later deadline, or ask less of it.", "red")
    for problem in load.problems:
        say(console, f"{backend} cannot be asked: {problem}", "red")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _MINUTES else f"{seconds / 60:.0f} min"
