"""Importing is free of effects and of weight: who does it pays for nothing and risks nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .tree import modules

HEAVY = ("sqlalchemy", "alembic", "aiosqlite", "asyncpg", "aio_pika", "aiormq", "litestar", "uvicorn", "cyclopts")

# Ends with what happened while the modules were imported that should not: files of the working folder that were
# opened, connections, processes.
WATCH = """
import importlib, os, sys
here, effects = os.getcwd(), []
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and os.path.abspath(args[0]).startswith(here):
        effects.append(f"reads {args[0]}")
    if event in {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.fork"}:
        effects.append(event)
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
    if effects:
        sys.exit(f"{name}: {effects}")
"""


def python(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter where every warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_importing_any_module_prints_reads_and_connects_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CHECKING_LOG_LEVEL=nonsense\nCHECKING_DATABASE_URL=nonsense\n")
    done = python(tmp_path, WATCH, *modules())
    assert not done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    "name", ["checking_core", "checking_core.contracts", "checking_core.plugin", "checking_core.expectations"]
)
def test_what_plugin_authors_import_needs_no_extra(name: str, tmp_path: Path) -> None:
    done = python(tmp_path, f"import {name}, sys; print(*(set(sys.argv[1:]) & sys.modules.keys()))", *HEAVY)
    assert not done.stdout.strip() + done.stderr, done.stdout + done.stderr
    assert done.returncode == 0
