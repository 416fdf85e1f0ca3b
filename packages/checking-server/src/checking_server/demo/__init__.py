"""The bundled operation: messages as a red team's tool sends them, expectations, and what the mock backends answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from checking_server.readers.files import RawMessage

__all__ = ["BACKENDS", "expectations", "messages", "scenario"]

BACKENDS = ("edr-demo", "siem-demo")
"""Both are served by the mock plugin."""


def messages(ended: datetime) -> Iterator[RawMessage]:
    """The operation's messages, their times moved so that it ended at ``ended`` (aware)."""
    lines = _file("operation.jsonl").read_bytes().splitlines()
    told = [msgspec.json.decode(line) for line in lines]
    shift = ended - max(datetime.fromisoformat(message["timestamp"]) for message in told)
    for number, message in enumerate(told, 1):
        yield RawMessage(body=msgspec.json.encode(_moved(message, shift)), origin=f"demo:{number}")


def expectations() -> Path:
    """The expectations file."""
    return _file("expectations.yml")


def scenario() -> Path:
    """What the backends answer, in the mock plugin's format."""
    return _file("scenario.yml")


def _file(name: str) -> Path:
    return Path(str(files(__name__) / name))


def _moved(value: Any, shift: timedelta) -> Any:
    """The same JSON with every time moved."""
    if isinstance(value, dict):
        return {key: _moved(item, shift) for key, item in value.items()}
    if isinstance(value, str) and value.endswith("Z") and value[:2] == "20":
        return datetime.fromisoformat(value) + shift
    return value
