"""Real recordings of attacks: a converted rule hits the events that its Sigma rule hits, and no other.

The events are written in ECS by pySigma's own table of fields, so the names are not what is proven here: operators,
scopes, brackets, case and escapes are.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from sigma.pipelines.elasticsearch.windows import ecs_windows, ecs_windows_variable_mappings
from tests.fakes.eql import query_of

from checking_core import FatalDetectionError
from checking_plugin_elastic.sigma import to_eql

SYSMON, SECURITY = "Microsoft-Windows-Sysmon/Operational", "Security"
CATEGORIES: dict[tuple[str, int], tuple[str, str, str]] = {
    (SYSMON, 1): ("process_creation", "process", "start"),
    (SECURITY, 4688): ("process_creation", "process", "start"),
    (SYSMON, 3): ("network_connection", "network", "connection"),
    (SYSMON, 11): ("file_event", "file", "creation"),
    (SYSMON, 12): ("registry_event", "registry", "change"),
    (SYSMON, 13): ("registry_set", "registry", "change"),
    (SYSMON, 14): ("registry_event", "registry", "change"),
    (SYSMON, 22): ("dns_query", "network", "protocol"),
    (SYSMON, 23): ("file_delete", "file", "deletion"),
}
AS_SYSMON = {"NewProcessName": "Image", "ParentProcessName": "ParentImage", "NewProcessId": "ProcessId"}


@cache
def ecs_fields() -> dict[str, str]:
    (mapping,) = (item for item in ecs_windows().items if item.identifier == "ecs_windows_field_mapping")
    return {field: ecs.removesuffix(".caseless") for field, ecs in mapping.transformation.mapping.items()}


def in_ecs(event: dict[str, Any]) -> dict[str, Any]:
    """An event of Windows as Winlogbeat would write it."""
    channel, code = event.get("Channel", ""), int(event["EventID"])
    category, kind, change = CATEGORIES.get((channel, code), ("", "", ""))
    document: dict[str, Any] = {
        "winlog.channel": channel,
        "event.code": str(code),
        "winlog.provider_name": event.get("SourceName") or event.get("Provider_Name"),
        "event.category": kind or None,
        "event.type": change or None,
    }
    for field, value in event.items():
        name = AS_SYSMON.get(field, field) if (channel, code) == (SECURITY, 4688) else field
        for where, what, ecs in ecs_windows_variable_mappings.get(name, ()):
            if what in (category, channel.lower()) and where in ("category", "service"):
                document[ecs] = value
        document.setdefault(ecs_fields().get(name, f"winlog.event_data.{name}"), value)
    return document


def events_of(recording: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(recording, "rt", encoding="utf-8") as lines:
        yield from map(in_ecs, map(json.loads, lines))


def query_or_none(rule: Path) -> str | None:
    try:
        return to_eql(str(rule))
    except FatalDetectionError:
        return None


def test_a_converted_rule_hits_the_events_of_its_rule_and_no_other(shared_data: Path) -> None:
    folder = shared_data / "sigma"
    queries = {rule.name: query for rule in (folder / "rules").glob("*.yml") if (query := query_or_none(rule))}
    tests = {name: query_of(query) for name, query in queries.items()}
    hit: set[str] = set()
    for recorded in json.loads((folder / "expected.json").read_text(encoding="utf-8")):
        events = list(events_of(folder / recorded["dataset"]))
        checks = {
            Path(one["rule_file"]).name: one.get("lines", []) for one in recorded["checks"] if one.get("rule_file")
        }
        for name, test in tests.items():
            found = [line for line, event in enumerate(events) if test(event)]
            assert (recorded["dataset"], name, found) == (recorded["dataset"], name, checks.get(name, []))
            hit |= {name} if found else set()
    assert len(hit) > 20, "rules that never hit prove little"
