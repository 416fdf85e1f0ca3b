"""Writes docs/reference/verdict-table.md out of the rules themselves: ``python -m tests.core.verdict_table``.

Every combination of answers is judged; those that lead to the same verdict share a row as far as they can.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TypeAlias

from checking_core.contracts import Answer, Axes, Expect, Prevention
from checking_core.matching.judge import judge, met_of

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "verdict-table.md"

AXES: tuple[tuple[str, type[StrEnum]], ...] = (
    ("prevention", Prevention),
    ("alert", Answer),
    ("rule", Answer),
    ("telemetry", Answer),
    ("alive", Answer),
)
NAMES = [name for name, _ in AXES]
KINDS = [list(kind) for _, kind in AXES]
Cells: TypeAlias = tuple[str, ...]
Result: TypeAlias = Callable[[Axes], Cells]

HEAD = """# The verdict table

Every verdict that answers can lead to, and what each expectation makes of it. This page is generated from the rules:
`python -m tests.core.verdict_table` writes it anew. The words: [How a verdict is made](../explanation/verdicts.md).

An empty cell stands for any answer; where two rows hold, they say the same. The reasons are those that the answers give
by themselves: where the detector knows more of a miss, such as that the rule is disabled or that the alert was of
another host, its reason is shown instead.
"""
PROVEN = """
## After the deadline, answered completely

A no is proven, unless the source itself was silent. The verdict is final.
"""
OPEN = """
## Before the deadline, or answered in part

A no counts as `unknown`: it may still become a yes. A final verdict needs no further look; any other is asked again.
"""
MET = """
## Measured against what was expected

Of proven answers. An execution that failed and left nothing behind is `unknown`, whatever was expected of it.
"""


def page() -> str:
    """The whole page."""
    parts = [
        HEAD,
        PROVEN,
        table(proven, ("outcome", "reason", "detected")),
        OPEN,
        table(unproven, ("outcome", "reason", "detected", "final")),
        MET,
        *(f"\n### `expect: {expect}`\n{table(measured(expect), ('met', 'reason'))}" for expect in Expect),
    ]
    return "".join(parts)


def proven(axes: Axes) -> Cells:
    verdict = judge(axes, proven=True)
    return shown(verdict.outcome), shown(verdict.reason), shown(verdict.detected)


def unproven(axes: Axes) -> Cells:
    verdict = judge(axes, proven=False)
    return shown(verdict.outcome), shown(verdict.reason), shown(verdict.detected), "yes" if verdict.final else "no"


def measured(expect: Expect) -> Result:
    def result(axes: Axes) -> Cells:
        verdict = judge(axes, proven=True)
        met, reason = met_of(expect, verdict.outcome, verdict.axes)
        return shown(met), shown(reason) if reason else ""

    return result


def shown(value: object) -> str:
    return f"`{value}`"


def table(result: Result, columns: Sequence[str]) -> str:
    lines = [row((*NAMES, *columns)), row("---" for _ in (*NAMES, *columns))]
    lines += [row((*map(said, box, AXES), *cells)) for box, cells in boxes(result)]
    return "\n" + "\n".join(lines) + "\n"


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def said(values: Collection[StrEnum], axis: tuple[str, type[StrEnum]]) -> str:
    every = list(axis[1])
    missing = [value for value in every if value not in values]
    if len(missing) == 1:
        return f"not {shown(missing[0])}"
    return ", ".join(shown(value) for value in every if value in values) if missing else ""


def boxes(result: Result) -> Iterator[tuple[Sequence[Collection[StrEnum]], Cells]]:
    """Sets of answers, one for each axis, of which every combination has the same result; together they hold all."""
    left = {point: result(Axes(**dict(zip(NAMES, point, strict=True)))) for point in product(*KINDS)}
    judged = dict(left)
    while left:
        point, cells = next(iter(left.items()))
        box: list[list[StrEnum]] = [[value] for value in point]
        for place in reversed(range(len(AXES))):
            for value in KINDS[place]:
                added = [*box[:place], [value], *box[place + 1 :]]
                if value not in box[place] and all(judged[other] == cells for other in product(*added)):
                    box[place].append(value)
        for other in product(*box):
            left.pop(other, None)
        yield box, cells


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
