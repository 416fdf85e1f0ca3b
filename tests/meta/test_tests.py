"""A test that cannot fail is worse than none."""

from __future__ import annotations

import ast

from .tree import functions, place, python_files

Function = ast.FunctionDef | ast.AsyncFunctionDef
FOLDERS = ("tests", "packages/checking-core/src/checking_core/testing")


def test_every_test_asserts_something() -> None:
    everything = [(path, function) for path in python_files(*FOLDERS) for function in functions(path)]
    helpers = names_that_assert([function for _, function in everything if not function.name.startswith("test_")])
    without = [
        f"{place(path, function.lineno)} {function.name}"
        for path, function in everything
        if function.name.startswith("test_") and not any(asserts(node, helpers) for node in ast.walk(function))
    ]
    assert not without, "\n".join(without)


def names_that_assert(candidates: list[Function]) -> set[str]:
    """The functions that assert: by themselves, or by calling one that does."""
    names: set[str] = set()
    while True:
        found = {one.name for one in candidates if any(asserts(node, names) for node in ast.walk(one))}
        if found == names:
            return names
        names = found


def asserts(node: ast.AST, helpers: set[str]) -> bool:
    """An ``assert``, or a call that asserts: ``pytest.raises``, ``assert_...``, one of the helpers."""
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        return name in {"raises", "warns", "fail"} | helpers or name.startswith("assert_")
    return isinstance(node, ast.Assert)
