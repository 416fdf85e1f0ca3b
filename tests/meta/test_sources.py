"""House rules that a reader relies on: small modules, small functions, few places that swallow errors."""

from __future__ import annotations

import ast
import tomllib

from .tree import ROOT, functions, is_migration, members, parsed, place, python_files

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
# Where foreign code runs (a plugin's import, a plugin's answer) and where a message must not cost its queue.
MAY_CATCH_EVERYTHING = {
    "packages/checking-core/src/checking_core/plugin/loader.py",
    "packages/checking-core/src/checking_core/worker/run_task.py",
    "packages/checking-server/src/checking_server/consumers.py",
}


def test_no_module_has_more_than_400_lines() -> None:
    long = [
        f"{place(path)} has {lines} lines"
        for path in python_files("packages", "plugins", "tests")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE and not is_migration(path)
    ]
    assert not long, "\n".join(long)


def test_no_function_has_more_than_50_lines() -> None:
    long = [
        f"{place(path, function.lineno)} {function.name}"
        for path in python_files("packages", "plugins")
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno >= LONGEST_FUNCTION and not is_migration(path)
    ]
    assert not long, "\n".join(long)


def test_only_the_borders_to_foreign_code_catch_everything() -> None:
    broad = [
        place(path, node.lineno)
        for path in python_files("packages", "plugins")
        if str(path.relative_to(ROOT)) not in MAY_CATCH_EVERYTHING
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node.type)
    ]
    assert not broad, "\n".join(broad)


def catches_everything(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in {"Exception", "BaseException"} for node in ast.walk(caught))


def test_every_package_is_typed_and_names_its_licence() -> None:
    assert len(members()) >= 3
    for member in members():
        project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
        assert project["license"] == "Apache-2.0", member
        assert "Typing :: Typed" in project["classifiers"], member
        assert len(list(member.glob("src/*/py.typed"))) == 1, member
        assert (member / "LICENSE").read_text() == (ROOT / "LICENSE").read_text(), member
        assert (member / "README.md").read_text().startswith(f"# {project['name']}\n"), member
