"""Frameworks that also run tasks from RabbitMQ, each in an environment of its own, so that none bends another's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["COLUMNS", "PROGRAMS", "Column", "install"]

PROGRAMS = Path(__file__).resolve().parents[1] / "peers"
_HOME = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "checking-benchmarks"
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


class Column(NamedTuple):
    """One way to run one peer: its command's arguments, in the environment that these packages make."""

    peer: str
    how: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...]
    prefetch: int = 200

    @property
    def folder(self) -> Path:
        """Where its environment is or would be."""
        return _HOME / self.peer

    @property
    def python(self) -> Path:
        """The interpreter there."""
        return self.folder / "bin" / "python"

    @property
    def command(self) -> tuple[str, ...]:
        """What starts its worker."""
        return (str(self.folder / "bin" / self.peer), *self.arguments)

    def version(self) -> str | None:
        """The version that is compared with; ``None`` where it is not installed."""
        if not self.python.exists():
            return None
        asked = subprocess.run([self.python, "-c", _VERSION, self.peer], capture_output=True, text=True, check=False)
        return asked.stdout.strip() or None


_CELERY = ("celery",)
_APP = ("-A", "celery_peer", "worker", "--loglevel", "ERROR")
_DRAMATIQ = ("dramatiq[rabbitmq]",)
_QUEUE = ("--processes", "1", "--queues", "peer.tasks")

COLUMNS = (
    # Celery's prefetch is what it multiplies its concurrency with: 200 in both
    Column("celery", "prefork, 2", _CELERY, (*_APP, "--pool", "prefork", "--concurrency", "2"), prefetch=100),
    Column("celery", "threads, 200", _CELERY, (*_APP, "--pool", "threads", "--concurrency", "200"), prefetch=1),
    Column("dramatiq", "8 threads", _DRAMATIQ, ("dramatiq_peer", "--threads", "8", *_QUEUE)),
    Column("dramatiq", "64 threads", _DRAMATIQ, ("dramatiq_peer", "--threads", "64", *_QUEUE)),
    Column(
        "taskiq",
        "async, 200",
        ("taskiq", "taskiq-aio-pika"),
        ("worker", "--workers", "1", "--max-async-tasks", "200", "--log-level", "ERROR", "taskiq_peer:broker"),
    ),
    Column("faststream", "async, 200", ("faststream[rabbit,cli]",), ("run", "faststream_peer:app")),
)


def install(columns: Iterable[Column]) -> None:
    """Make the environments that are missing, kept for the next time."""
    if (uv := shutil.which("uv")) is None:
        raise SystemExit("uv makes the peers' environments, and it is not installed")
    for column in columns:
        if column.version() is None:
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, column.folder], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", column.python, *column.packages], check=True)
