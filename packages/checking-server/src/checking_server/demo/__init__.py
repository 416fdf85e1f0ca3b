"""The played operation: messages as a red team's tool sends them, expectations, and what the mock backends answer."""

from __future__ import annotations

from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from checking_core.plugin.demo import moved

__all__ = ["BACKENDS", "expectations", "messages", "scenario"]

BACKENDS = ("edr-demo", "siem-demo")
"""Both are served by the mock plugin."""


def messages(ended: datetime) -> list[Any]:
    """The operation's messages, their times moved so that it ended at ``ended`` (aware)."""
    told = [msgspec.json.decode(line) for line in _file("operation.jsonl").read_bytes().splitlines()]
    later = ended - max(datetime.fromisoformat(message["timestamp"]) for message in told)
    return [moved(message, later) for message in told]


def expectations() -> Path:
    """The expectations file."""
    return _file("expectations.yml")


def scenario() -> Path:
    """What the backends answer, in the mock plugin's format."""
    return _file("scenario.yml")


def _file(name: str) -> Path:
    return Path(str(files(__name__) / name))
