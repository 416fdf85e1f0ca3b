"""A report as Markdown: tables for tickets, wikis and merge requests. Every text of an attacker stays text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from checking_core.report.escape import markdown, markdown_link, shortened
from checking_core.report.next_steps import next_steps
from checking_core.report.shapes import OperationLine, OperationReport, OperationsReport, ReportedCheck, ReportLine
from checking_core.report.words import (
    MET,
    UNCHECKED,
    check_of,
    moment,
    newest_of,
    outcome_of,
    outcomes_of,
    procedure_of,
    summary_of,
    why_of,
)

__all__ = ["to_markdown"]

_LONGEST = 200
_SHOWN_EVIDENCE = 3

_HEADINGS = ("Step", "Host", "Procedure", "Check", "Wanted", "Outcome", "Met", "Why", "Evidence")


def to_markdown(report: OperationReport | OperationsReport) -> str:
    """A document with a heading, facts, a table, and for one operation what to do next."""
    blocks = _operation(report) if isinstance(report, OperationReport) else _operations(report)
    return "\n\n".join(blocks) + "\n"


def _operation(report: OperationReport) -> Iterator[str]:
    operation = report.operation
    yield f"# Operation {_text(operation.name or str(operation.operation_id))}"
    facts = (f"Operation id {operation.operation_id}", _text(operation.state or ""), moment(operation.operation_start))
    yield ", ".join(filter(None, facts)) + f"; report of {moment(report.generated_at)}."
    if report.remark:
        yield markdown(report.remark)
    yield summary_of(report.summary)
    yield _table(_HEADINGS, map(_line, report.lines))
    if steps := next_steps(report):
        yield "## What to do next"
        yield "\n".join(f"* {markdown(step)}" for step in steps)


def _line(line: ReportLine) -> list[str]:
    execution = line.execution
    step = [str(execution.step), _text(execution.agent_host), _text(procedure_of(execution))]
    if line.check is None:
        return [*step, "", "", "", "", UNCHECKED[line.unchecked] if line.unchecked else "", ""]
    return [*step, *_verdict(line.check)]


def _verdict(check: ReportedCheck) -> list[str]:
    shown = [markdown_link(shortened(one.title or one.id, _LONGEST), one.url) for one in check.evidence]
    more = [f"and {len(shown) - _SHOWN_EVIDENCE} more"] if len(shown) > _SHOWN_EVIDENCE else []
    evidence = ", ".join(shown[:_SHOWN_EVIDENCE] + more)
    return [_text(check_of(check)), check.expect, outcome_of(check), MET[check.met], _text(why_of(check)), evidence]


def _operations(report: OperationsReport) -> Iterator[str]:
    yield "# Operations"
    headings = ("Name", "Operation id", "State", "When", "Executions", "Checks", "Open", "Outcomes")
    yield _table(headings, map(_counts, report.operations))
    if report.total > len(report.operations):
        yield newest_of(report)


def _counts(line: OperationLine) -> list[str]:
    operation, counts = line.operation, line.counts
    return [
        _text(operation.name),
        str(operation.operation_id),
        _text(operation.state or ""),
        moment(operation.operation_start or operation.created_at),
        str(counts.executions),
        str(counts.checks),
        str(counts.open),
        outcomes_of(counts),
    ]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(text: str) -> str:
    return markdown(shortened(text, _LONGEST))
