"""A report as JSON: for programs. The keys are those of ``shapes.py`` and ``explanation.py``, and stay."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from checking_core.contracts import encode
from checking_core.report.escape import json_text
from checking_core.report.explanation import Explanation
from checking_core.report.shapes import OperationReport, OperationsReport

__all__ = ["to_json"]


def to_json(report: OperationReport | OperationsReport | Explanation | Sequence[Explanation]) -> str:
    """Indented JSON that ends with a line break and holds no control character."""
    return json_text(msgspec.json.format(encode(report), indent=2).decode()) + "\n"
