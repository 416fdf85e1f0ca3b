"""A detector is one small module: what is the same in two of them belongs to the core."""

from __future__ import annotations

import ast
import io
import tokenize

from .examples import examples
from .tree import ROOT

MOST_LINES = 40


def lines_of_code(source: str) -> int:
    """Lines that hold anything but comments and docstrings."""
    prose = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in silent for line in range(token.start[0], token.end[0] + 1)}
    return len(code - prose)


def test_a_complete_search_plugin_has_at_most_40_lines() -> None:
    page = ROOT / "docs" / "how-to" / "write-a-detector.md"
    (plugin,) = [example for example in examples(page) if example.name == "checking_plugin_logfile.py"]
    assert "SearchDetector" in plugin.body
    assert lines_of_code(plugin.body) <= MOST_LINES


def test_neither_comments_nor_docstrings_nor_blank_lines_are_code() -> None:
    assert lines_of_code('"""Two\nlines."""\n\n# one\nx = [\n    1,  # two\n]\n') == 3
