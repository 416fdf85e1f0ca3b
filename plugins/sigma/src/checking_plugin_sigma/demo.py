"""What ``checking demo`` shows with this plugin: its sample, or recordings of attacks that somebody else has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from checking_core import DemoRequest, Shown
from checking_core.errors import ConfigurationError
from checking_core.plugin.demo import moved
from checking_plugin_sigma.datasets import read_datasets
from checking_plugin_sigma.events.instant import utc_of
from checking_plugin_sigma.option import about_option
from checking_plugin_sigma.rules.cache import RuleCache, default_folder
from checking_plugin_sigma.rules.load import load_rules

__all__ = ["SAMPLE", "shown"]

SAMPLE = Path(__file__).parent / "sample"


def shown(request: DemoRequest) -> Shown:
    """The operation to show, with everything that is needed to judge it.

    Raises:
        ConfigurationError: only one of recordings and rules is given, or one of their folders holds none.
    """
    if (request.datasets is None) != (request.rules is None):
        raise ConfigurationError("--datasets and --rules go together")
    if request.datasets is None or request.rules is None:
        return _sample(request)
    with about_option("--rules"):
        load_rules(request.rules, cache=RuleCache(default_folder()))  # refused at once, and read in no time afterwards
    with about_option("--datasets"):
        found = read_datasets(request.datasets)
    told = {"version": 1, "backends_default": ["sigma"], "expectations": found.expectations}
    expectations = request.folder / "expectations.yml"
    expectations.write_bytes(msgspec.json.encode(told))
    without = f", {len(found.left_out)} more cannot be read or tell no certain time" if found.left_out else ""
    return Shown(
        platform="sigma",
        messages=found.messages,
        expectations=expectations,
        settings={"EVENTS": _places(found.files), "RULES": str(request.rules)},
        remark=f"Recorded attacks: {len(found.files)} recordings at the times of their own{without}.",
    )


def _sample(request: DemoRequest) -> Shown:
    """Operation and telemetry stay as far apart as they were recorded: both are moved by the same time."""
    messages = _lines(SAMPLE / "operation.jsonl")
    telemetry = SAMPLE / "telemetry.jsonl"
    later = request.ended - max(datetime.fromisoformat(message["timestamp"]) for message in messages)
    first = min(moment for event in _lines(telemetry) if (moment := utc_of(event)) is not None)
    return Shown(
        platform="sigma",
        messages=[moved(message, later) for message in messages],
        expectations=SAMPLE / "expectations.yml",
        settings={
            "EVENTS": str(telemetry),
            "RULES": str(SAMPLE / "rules"),
            "REPLAY_ONTO": (first + later).isoformat(),
            "CACHE": str(request.folder),
        },
        remark=f"Really carried out at {first:%Y-%m-%d %H:%M} UTC; operation and telemetry are both replayed now.",
    )


def _lines(file: Path) -> Sequence[Mapping[str, Any]]:
    return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]


def _places(files: Sequence[Path]) -> str:
    return msgspec.json.encode([str(file) for file in files]).decode()
