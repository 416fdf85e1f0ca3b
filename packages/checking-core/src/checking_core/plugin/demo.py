"""What a plugin can show by itself: operations that were really carried out, with the telemetry that they left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from checking_core.plugin.commands import Command

__all__ = ["Demo", "DemoRequest", "Shown", "moved"]


class Demo(msgspec.Struct, frozen=True):
    """Where the function stands that prepares it: ``target`` is ``package.module:name``.

    It takes a ``DemoRequest`` and gives what is ``Shown``. ``record`` is a command that records another operation:
    ``checking demo record``. Like every command both are told, not imported.
    """

    target: str
    record: Command | None = None


class DemoRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to see.

    Attributes:
        folder: an empty one, which is gone afterwards.
        ended: when the plugin's own recording is to have ended (aware).
        datasets: a folder of recordings to show in place of the plugin's own.
        rules: the rules to judge them by.
    """

    folder: Path
    ended: datetime
    datasets: Path | None = None
    rules: Path | None = None


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An operation, ready to be checked.

    Attributes:
        platform: the detector that is asked, and the name of the backend.
        messages: as the red team's tool would send them.
        expectations: a file of them.
        settings: the detector's own variables, without their prefix.
        remark: where all this comes from, in one sentence.
    """

    platform: str
    messages: Sequence[Mapping[str, Any]]
    expectations: Path
    settings: Mapping[str, str]
    remark: str


def moved(message: Any, later: timedelta) -> Any:
    """The same JSON, every time in it (``2026-01-15T09:00:00Z``) as much later."""
    if isinstance(message, dict):
        return {key: moved(item, later) for key, item in message.items()}
    if isinstance(message, str) and message.endswith("Z") and message[:2] == "20":
        return (datetime.fromisoformat(message) + later).isoformat()
    return message
