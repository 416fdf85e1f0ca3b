"""What an alert of Elastic Security tells, in core's words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from checking_core import Prevention
from checking_core.testing import ENDED, STARTED
from checking_plugin_elastic.records import alert_of

FLAT = {
    "@timestamp": "2026-11-20T19:33:00.000Z",
    "kibana.alert.original_time": "2026-11-20T19:28:38.500Z",
    "kibana.alert.rule.name": "LSASS dump",
    "kibana.alert.rule.rule_id": "static-id",
    "kibana.alert.rule.uuid": "saved-id",
    "kibana.alert.severity": "high",
    "kibana.alert.rule.threat": [{"technique": [{"id": "T1003", "subtechnique": [{"id": "T1003.001"}]}]}],
    "kibana.alert.original_event.kind": "alert",
    "kibana.alert.original_event.type": ["info", "denied"],
    "kibana.alert.original_event.outcome": "success",
    "host.name": "ws01",
    "process.pid": 4242,
    "process.parent.pid": 999,
    "user.name": "alice",
    "user.domain": "CORP",
}


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *way, last = path.split(".")
        place = tree
        for name in way:
            place = place.setdefault(name, {})
        place[last] = value
    return tree


@pytest.mark.parametrize("source", [FLAT, nested(FLAT)], ids=["flat", "nested"])
def test_an_alert_is_read_with_all_its_times(source: dict[str, Any]) -> None:
    alert = alert_of({"_id": "a", "_index": ".internal", "_source": source}, kibana="https://kibana.example/s/red")
    assert (alert.rule, alert.rule_id, alert.rule_aliases) == ("LSASS dump", "static-id", ("saved-id",))
    assert alert.event_at == STARTED + timedelta(milliseconds=500)
    assert alert.created_at is not None
    assert alert.created_at > ENDED
    assert alert.techniques == ("T1003.001",)
    assert (alert.hosts, alert.pid, alert.ancestors, alert.users) == (("ws01",), 4242, (999,), ("CORP\\alice",))
    assert (alert.prevention, alert.severity, alert.suppressed) == (Prevention.BLOCKED, "high", False)
    assert alert.url is not None
    assert alert.url.startswith(
        "https://kibana.example/s/red/app/security/alerts/redirect/a?index=.internal&timestamp="
    )


@pytest.mark.parametrize(
    ("event", "prevention"),
    [
        ({"kind": "alert", "type": ["info", "denied"], "outcome": "success"}, Prevention.BLOCKED),
        ({"kind": "alert", "type": ["info", "denied"], "outcome": "failure"}, Prevention.NOT_BLOCKED),
        ({"kind": "alert", "type": ["info", "allowed"], "outcome": "success"}, Prevention.NOT_BLOCKED),
        ({"kind": "event", "type": ["denied"], "outcome": "success"}, Prevention.UNKNOWN),
        ({"kind": "alert"}, Prevention.UNKNOWN),
        ({}, Prevention.UNKNOWN),
    ],
    ids=str,
)
def test_only_what_the_endpoint_denied_is_blocked(event: dict[str, Any], prevention: Prevention) -> None:
    named = {"kibana.alert.rule.name": "Malicious Behavior Prevention Alert", "kibana.alert.original_event": event}
    assert alert_of({"_id": "a", "_source": named}).prevention is prevention


def test_a_process_that_was_killed_in_response_was_not_blocked() -> None:
    source = {
        "kibana.alert.original_event": {"kind": "alert", "type": ["info", "allowed"]},
        "Responses": [{"action": {"action": "kill_process"}, "message": "Success"}],
    }
    assert alert_of({"_id": "a", "_source": source}).prevention is Prevention.TERMINATED


def test_a_building_block_is_one_that_nobody_sees() -> None:
    assert alert_of({"_id": "a", "_source": {"kibana.alert.building_block_type": "default"}}).suppressed


def test_the_technique_of_an_endpoint_alert_stands_at_its_top() -> None:
    source = {"kibana.alert.rule.threat": [], "threat": [{"technique": [{"id": "T1218"}]}]}
    assert alert_of({"_id": "a", "_source": source}).techniques == ("T1218",)


def test_an_alert_that_counts_events_spans_them() -> None:
    source = {
        "@timestamp": "2026-11-20T19:35:00Z",
        "kibana.alert.threshold_result": {"from": "2026-11-20T19:20:00Z"},
        "kibana.alert.original_time": "2026-11-20T19:34:00Z",
    }
    alert = alert_of({"_id": "a", "_source": source})
    assert alert.event_at is not None
    assert alert.event_until is not None
    assert (alert.event_until - alert.event_at) == timedelta(minutes=14)


def test_an_alert_of_version_7_is_read() -> None:
    source = {
        "@timestamp": "2026-11-20T19:35:00Z",
        "signal": {"rule": {"name": "Old", "rule_id": "r", "severity": "low"}, "original_time": "2026-11-20T19:28:38Z"},
    }
    alert = alert_of({"_id": "a", "_source": source})
    assert (alert.rule, alert.rule_id, alert.severity, alert.event_at) == ("Old", "r", "low", STARTED)
