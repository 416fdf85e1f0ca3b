"""Real recordings of attacks: a converted rule hits the events that its Sigma rule hits, and no other.

The events have the fields that they were recorded with, and the sources of Splunk's add-ons; process creations of the
channel Security are those of Sysmon a second time, which converted rules do not ask for.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.fakes.spl import condition_of

from checking_core import FatalDetectionError
from checking_plugin_splunk.sigma import to_spl


def in_splunk(event: dict[str, Any]) -> dict[str, Any]:
    """An event of Windows as the add-ons write it."""
    return {**event, "source": f"XmlWinEventLog:{event.get('Channel', '')}", "EventCode": str(event["EventID"])}


def events_of(recording: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(recording, "rt", encoding="utf-8") as lines:
        yield from map(in_splunk, map(json.loads, lines))


def queries_of(rules: Path) -> Iterator[tuple[str, str, bool]]:
    """Each rule that is converted, by its file, and whether it is of a category."""
    for path in rules.glob("*.yml"):
        try:
            query = to_spl(str(path))
        except FatalDetectionError:
            continue
        source = yaml.safe_load(path.read_text(encoding="utf-8"))["logsource"]
        yield path.name, query, "category" in source


def test_a_converted_rule_hits_the_events_of_its_rule_and_no_other(shared_data: Path) -> None:
    folder = shared_data / "sigma"
    tests = {name: (condition_of(query), category) for name, query, category in queries_of(folder / "rules")}
    hit: set[str] = set()
    for recorded in json.loads((folder / "expected.json").read_text(encoding="utf-8")):
        events = list(events_of(folder / recorded["dataset"]))
        told = {Path(one["rule_file"]).name: one.get("lines", []) for one in recorded["checks"] if one.get("rule_file")}
        for name, (test, category) in tests.items():
            found = [line for line, event in enumerate(events) if test(event)]
            wanted = [line for line in told.get(name, []) if not category or events[line]["Channel"] != "Security"]
            assert (recorded["dataset"], name, found) == (recorded["dataset"], name, wanted)
            hit |= {name} if found else set()
    assert len(hit) > 20, "rules that never hit prove little"
