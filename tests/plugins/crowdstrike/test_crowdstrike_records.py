"""Alerts and hosts of Falcon in core's words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core import Prevention
from checking_plugin_crowdstrike.disposition import contradiction_in, prevention_of
from checking_plugin_crowdstrike.records import alert_of, host_of

EPP: dict[str, Any] = {
    "composite_id": "c:ind:d:1-2-3",
    "product": "epp",
    "type": "ldt",
    "name": "CredentialDump",
    "display_name": "Credential theft",
    "description": "A process read the memory of lsass.",
    "pattern_id": 10341,
    "severity": 70,
    "severity_name": "High",
    "device": {"hostname": "WS01", "device_id": "d", "local_ip": "10.0.0.5", "external_ip": "192.0.2.1"},
    "agent_id": "d",
    "user_name": "alice",
    "logon_domain": "CORP",
    "user_id": "S-1-5-21-1",
    "cmdline": "rundll32 comsvcs.dll",
    "sha256": "a" * 64,
    "md5": "b" * 32,
    "local_process_id": "4242",
    "process_id": "272655453043",
    "parent_details": {"local_process_id": "4000", "cmdline": "cmd /c rundll32", "process_id": "1"},
    "grandparent_details": {"local_process_id": "3000", "cmdline": "agent"},
    "technique_id": "T1003.001",
    "tactic_id": "TA0006",
    "timestamp": "2026-11-20T18:00:22.123Z",
    "created_timestamp": "2026-11-20T18:01:23.582157884Z",
    "updated_timestamp": "2026-11-20T19:01:23Z",
    "crawled_timestamp": "2026-11-20T19:01:24Z",
    "falcon_host_link": "https://falcon.crowdstrike.com/activity-v2/detections/c:ind:d:1-2-3?_cid=c",
    "show_in_ui": True,
}
CLOUD: dict[str, Any] = {
    "composite_id": "c:fcs:ioa-211:e",
    "product": "fcs",
    "name": "Security group opened",
    "rule_id": "00000000-0000-0000-0000-000000000001",
    "pattern_id": 2036,
    "cloud_account_id": "111122223333",
    "resource_id": "sg-1",
    "device": {"service_provider": "aws"},
    "user_name": "purple-svc",
    "mitre_attack": [{"technique_id": "T1562.007", "tactic_id": "TA0005"}],
    "technique_id": "T1562.007",
    "severity_name": "High",
    "first_timestamp": "2026-11-20T18:00:00Z",
    "last_timestamp": "2026-11-20T18:02:00Z",
    "timestamp": "2026-11-20T18:10:00Z",
    "created_timestamp": "2026-11-20T18:10:03Z",
}
IDENTITY: dict[str, Any] = {
    "composite_id": "c:idp:1",
    "product": "idp",
    "display_name": "Unusual login",
    "source_account_name": "alice",
    "source_account_domain": "CORP.EXAMPLE",
    "source_account_object_sid": "S-1-5-21-1",
    "source_endpoint_host_name": "WS01",
    "source_endpoint_sensor_id": "d",
    "source_endpoint_address_ip4": "10.0.0.5",
    "target_endpoint_host_name": "DC01",
    "technique_id": "CST0007",
    "start_time": "2026-11-20T18:00:00Z",
    "end_time": "2026-11-20T18:00:00Z",
    "created_timestamp": "2026-11-20T18:05:00Z",
}


def at(hour: int, minute: int, second: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, microsecond, tzinfo=UTC)


def test_an_alert_of_an_endpoint_tells_all_that_it_knows() -> None:
    alert = alert_of(EPP)
    assert (alert.id, alert.title, alert.severity) == ("c:ind:d:1-2-3", EPP["description"], "High")
    assert (alert.rule, alert.rule_id, alert.rule_aliases) == ("Credential theft", "10341", ("CredentialDump",))
    assert (alert.hosts, alert.addresses) == (("WS01", "d"), ("10.0.0.5",))
    assert alert.users == ("CORP\\alice", "S-1-5-21-1")
    assert (alert.pid, alert.ancestors) == (4242, (4000, 3000))
    assert alert.commands == ("rundll32 comsvcs.dll", "cmd /c rundll32")
    assert alert.hashes == ("a" * 64, "b" * 32)
    assert alert.techniques == ("T1003.001",)
    assert (alert.event_at, alert.event_until) == (at(18, 0, 22, 123000), None)
    assert alert.created_at == at(18, 1, 23, 582157)
    assert alert.url == EPP["falcon_host_link"]
    assert alert.fields["pattern_id"] == 10341
    assert not alert.suppressed


def test_an_alert_of_a_cloud_is_of_its_account_and_of_the_time_of_its_events() -> None:
    alert = alert_of(CLOUD)
    assert alert.hosts == ("111122223333", "sg-1")
    assert (alert.rule, alert.rule_id) == ("Security group opened", CLOUD["rule_id"])
    assert (alert.event_at, alert.event_until, alert.created_at) == (at(18, 0), at(18, 2), at(18, 10, 3))
    assert (alert.users, alert.techniques) == (("purple-svc",), ("T1562.007",))
    assert alert.prevention is Prevention.UNKNOWN


def test_an_alert_of_an_identity_is_of_where_it_was_used_not_of_what_it_reached() -> None:
    alert = alert_of(IDENTITY)
    assert (alert.hosts, alert.addresses) == (("WS01", "d"), ("10.0.0.5",))
    assert alert.users == ("CORP.EXAMPLE\\alice", "S-1-5-21-1")
    assert (alert.event_at, alert.event_until) == (at(18, 0), None)
    assert alert.prevention is Prevention.UNKNOWN


def test_techniques_of_crowdstrikes_own_are_none_of_attack() -> None:
    assert alert_of(IDENTITY).techniques == ()


def test_a_recorded_alert_is_read(shared_data: Path) -> None:
    file = shared_data / "backends" / "crowdstrike" / "alerts_entities_v2_sekoia_200.json"
    (resource,) = json.loads(file.read_text())["body"]["resources"]
    alert = alert_of(resource)
    assert alert.id == resource["composite_id"]
    assert (alert.users, alert.ancestors) == (("root",), (1,))
    assert alert.commands == ("/usr/lib/git-core/git fetch --update-head-ok",)


def test_an_alert_that_nobody_sees_is_suppressed() -> None:
    assert alert_of({**EPP, "show_in_ui": False}).suppressed


def test_an_alert_without_a_name_of_its_severity_has_its_number() -> None:
    assert alert_of({**EPP, "severity_name": None}).severity == "70"


@pytest.mark.parametrize("link", [None, "", "javascript:alert(1)", "http://falcon.example"])
def test_a_link_that_is_missing_or_none_is_made_for_endpoints(link: str | None) -> None:
    console = "https://falcon.us-2.crowdstrike.com"
    assert alert_of({**EPP, "falcon_host_link": link}, console=console).url == (
        f"{console}/activity-v2/detections/c:ind:d:1-2-3"
    )
    assert alert_of({**EPP, "falcon_host_link": link}).url is None
    assert alert_of({**CLOUD, "falcon_host_link": link}, console=console).url is None


@pytest.mark.parametrize("resource", [{}, {"composite_id": None}, {"composite_id": ""}])
def test_an_alert_without_an_id_is_none(resource: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        alert_of(resource)


def test_a_host_was_in_contact_from_its_first_time_to_its_last() -> None:
    host = host_of(
        {
            "device_id": "d",
            "hostname": "WS01",
            "local_ip": "10.0.0.5",
            "agent_version": "7.1",
            "first_seen": "2026-11-20T08:00:00Z",
            "last_seen": "2026-11-20T18:00:00Z",
        }
    )
    assert (host.id, host.hosts, host.title) == ("d", ("WS01", "d"), "sensor 7.1")
    assert (host.event_at, host.event_until) == (at(8, 0), at(18, 0))


@pytest.mark.parametrize(
    ("mask", "state"),
    [
        (0, Prevention.NOT_BLOCKED),
        (2176, Prevention.BLOCKED),
        (1024, Prevention.BLOCKED),
        (2048, Prevention.BLOCKED),
        (4096, Prevention.BLOCKED),
        (32768, Prevention.BLOCKED),
        (65536, Prevention.BLOCKED),
        (16, Prevention.TERMINATED),
        (128, Prevention.TERMINATED),
        (512, Prevention.TERMINATED),
        (524288, Prevention.TERMINATED),
        (1048576, Prevention.TERMINATED),
        (2048 | 256, Prevention.NOT_BLOCKED),
        (2048 | 8192, Prevention.NOT_BLOCKED),
        (2048 | 16384, Prevention.NOT_BLOCKED),
        (16 | 131072, Prevention.NOT_BLOCKED),
        (2048 | 262144, Prevention.NOT_BLOCKED),
        (16 | 4194304, Prevention.NOT_BLOCKED),
        (16 | 2097152, Prevention.UNKNOWN),
        (2048 | 8388608, Prevention.UNKNOWN),
        (-1, Prevention.UNKNOWN),
        (None, Prevention.UNKNOWN),
        ("a lot", Prevention.UNKNOWN),
    ],
)
def test_the_mask_tells_what_was_stopped(mask: int | str | None, state: Prevention) -> None:
    assert prevention_of({"pattern_disposition": mask}) is state
    assert prevention_of({"pattern_disposition": mask, "pattern_disposition_details": None}) is state


@given(st.integers(min_value=0, max_value=2**32))
def test_a_failure_outweighs_whatever_was_done(mask: int) -> None:
    assert prevention_of({"pattern_disposition": mask | 131072}) in (Prevention.NOT_BLOCKED, Prevention.UNKNOWN)


def test_the_recorded_mask_and_its_details_agree() -> None:
    details = {"process_blocked": True, "quarantine_file": True, "kill_process": False, "detect": False}
    alert = {"pattern_disposition": 2176, "pattern_disposition_details": details}
    assert (prevention_of(alert), contradiction_in(alert)) == (Prevention.BLOCKED, None)


@pytest.mark.parametrize("details", [{"process_blocked": False}, {"kill_process": True}, {"policy_disabled": True}])
def test_details_that_contradict_the_mask_leave_it_open(details: dict[str, bool]) -> None:
    alert = {"pattern_disposition": 2048, "pattern_disposition_details": details}
    assert prevention_of(alert) is Prevention.UNKNOWN
    assert contradiction_in(alert) == f"pattern_disposition 2048 and its details disagree on {next(iter(details))}"
