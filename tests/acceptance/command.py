"""The real command as a process, in a folder and an environment of the test's own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

CHECKING = Path(sys.executable).with_name("checking")
PATIENCE = 60
"""Seconds after which a process that should have done something is given up."""


def environment(folder: Path, settings: dict[str, object], plugins: Path | None = None) -> dict[str, str]:
    """No setting but the test's: the database is a file of the folder unless it says another.

    ``plugins`` is a folder with more of them.
    """
    ours = {"DATABASE_URL": f"sqlite:///{folder / 'checking.db'}", **settings}
    plain = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    if plugins is not None:
        plain["PYTHONPATH"] = str(plugins)
    return {**plain, "HOME": str(folder), **{f"CHECKING_{name}": str(value) for name, value in ours.items()}}


def checking(
    folder: Path, *arguments: str, plugins: Path | None = None, given: str | None = None, **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command of ``checking`` to its end; ``settings`` are variables without their prefix.

    ``given`` is what it reads from standard input.
    """
    return subprocess.run(
        [CHECKING, *arguments],
        cwd=folder,
        env=environment(folder, settings, plugins),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@contextmanager
def running(folder: Path, *arguments: str, **settings: object) -> Iterator[subprocess.Popen[str]]:
    """A command at work, its standard streams all pipes; killed at the end if it still runs."""
    with subprocess.Popen(
        [CHECKING, *arguments],
        cwd=folder,
        env=environment(folder, settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Served:
    """A ``checking serve`` that is ready."""

    def __init__(self, process: subprocess.Popen[str], url: str, errors: Path) -> None:
        self.process = process
        self.url = url
        self._errors = errors

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._errors.read_text()

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}/api/v1{path}", timeout=PATIENCE)

    def json(self, path: str) -> Any:
        return self.get(path).raise_for_status().json()

    def listens(self) -> bool:
        address = urlsplit(self.url)
        with suppress(OSError), socket.create_connection((address.hostname, address.port), PATIENCE):
            return True
        return False

    def ended_by(self, number: signal.Signals) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def served(
    folder: Path,
    *arguments: str,
    plugins: Path | None = None,
    access: Sequence[str] = ("--no-auth",),
    **settings: object,
) -> Iterator[Served]:
    """A server on a free port, killed at the end if it still runs. Nobody is asked for a key unless ``access`` says."""
    errors = folder / "serve.log"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [CHECKING, "serve", "--port", "0", *access, *arguments],
            cwd=folder,
            env=environment(folder, settings, plugins),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("checking serves on http://"), ready + errors.read_text()
            yield Served(process, ready.split()[3], errors)
        finally:
            process.kill()


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Ask another process again and again until it is so."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
