"""The project's own files, as the rules about them see them."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def project_files() -> tuple[Path, ...]:
    """Every file that is committed or would be: what git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def python_files(*folders: str) -> list[Path]:
    """The Python files below these folders of the project."""
    roots = [ROOT / folder for folder in folders]
    return [path for path in project_files() if path.suffix == ".py" and any(root in path.parents for root in roots)]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def is_migration(path: Path) -> bool:
    """A migration is a record of columns that is never edited again: its size is no sign of anything."""
    return "migrations" in path.parts


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def place(path: Path, line: int = 1) -> str:
    """``file:line``, as an editor opens it."""
    return f"{path.relative_to(ROOT)}:{line}"


def members() -> list[Path]:
    """The folders of the packages and plugins."""
    return sorted(path.parent for path in project_files() if path.match("p*/*/pyproject.toml"))


def modules() -> list[str]:
    """The import name of every module that is shipped, but for what only Alembic may import."""
    names = []
    for member in members():
        for path in python_files(str(member.relative_to(ROOT) / "src")):
            if not is_migration(path):
                parts = path.relative_to(member / "src").with_suffix("").parts
                names.append(".".join(parts).removesuffix(".__init__"))
    return sorted(names)
