"""Plugins that are installed for one test, as far as an interpreter with their folder on its path can tell."""

from __future__ import annotations

import itertools
from pathlib import Path

__all__ = ["install_plugin"]

_numbers = itertools.count()


def install_plugin(folder: Path, name: str, code: str) -> None:
    """Install a distribution with one plugin; its module has a name that no other in this process has."""
    module = f"throw_away_{name}_{next(_numbers)}"
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[checking.plugins]\n{name} = {module}\n", encoding="utf-8")
