"""docs/reference/verdict-table.md says what the rules do."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest

from checking_core.contracts import Axes, Expect

from .verdict_table import AXES, KINDS, PAGE, boxes, measured, page, proven, unproven


def test_the_page_is_what_the_rules_say():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m tests.core.verdict_table"


@pytest.mark.parametrize("result", [proven, unproven, *map(measured, Expect)])
def test_the_rows_hold_every_combination_of_answers_and_nothing_else(result):
    held = set()
    for box, cells in boxes(result):
        for point in product(*box):
            assert result(Axes(**dict(zip((name for name, _ in AXES), point, strict=True)))) == cells
            held.add(point)
    assert len(held) == prod(map(len, KINDS))
