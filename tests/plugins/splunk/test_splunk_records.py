"""Rows of Splunk in the words of core."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from checking_core import Answer, Prevention
from checking_core.testing import ENDED, STARTED
from checking_plugin_splunk.records import alert_of, event_of, fired_of, match_of

from .splunk_head import ALERT, SEARCH, SearchHead, a_row, told


def test_a_recorded_notable_is_read(shared_data: Path) -> None:
    (row,) = told(shared_data, "json_results_notable_200")["body"]["results"]
    alert = alert_of(row, web="https://splunk.example:8000")
    assert alert.rule == "Endpoint - Recurring Malware Infection - Rule"
    assert (alert.hosts, alert.severity) == (("ACME-workstation-012",), "low")
    assert alert.created_at == datetime.fromtimestamp(1596545116, UTC)
    assert alert.event_at == datetime.fromisoformat(row["_time"])
    assert alert.url is not None
    shown = parse_qs(urlsplit(alert.url).query)
    assert shown["q"] == ['search index="notable" source="Endpoint - Recurring Malware Infection - Rule"']


def test_a_notable_of_today_tells_when_its_event_was(shared_data: Path) -> None:
    row = told(shared_data, "json_notable_2024_fields")["result"]
    alert = alert_of(row)
    assert alert.id == row["event_id"]
    assert alert.event_at == datetime.fromtimestamp(1717493410, UTC)
    assert alert.created_at == datetime.fromtimestamp(1717578924, UTC)
    assert alert.rule == "Root sucess"
    assert {"Identity - Root sucess - Rule", "Root user use"} <= {*alert.rule_aliases}
    assert alert.users == ("root",)
    assert not alert.suppressed


def test_a_notable_that_sums_up_events_spans_them() -> None:
    first, last = STARTED, STARTED + timedelta(minutes=9)
    spans = [
        {"firstTime": str(first.timestamp()), "lastTime": str(last.timestamp())},
        {"info_min_time": str(first.timestamp()), "info_max_time": str(last.timestamp())},
    ]
    for span in spans:
        alert = alert_of({"_time": ENDED.isoformat(), **span})
        assert (alert.event_at, alert.event_until) == (first, last)
    endless = alert_of({"_time": ENDED.isoformat(), "info_min_time": "0.000", "info_max_time": "+Infinity"})
    assert endless.event_until is None


@pytest.mark.parametrize(
    "query",
    [
        "index=main | bin _time span=1h | stats count by _time host",
        "| tstats count where index=main by _time span=1h host",
        "index=main | stats min(_time) AS _time by host",
    ],
)
@pytest.mark.parametrize("section", ["rule", "telemetry"])
async def test_a_row_for_a_span_lies_in_all_of_it_and_one_without_nobody_knows_where(
    head: SearchHead, query: str, section: str
) -> None:
    begins = {"_time": (STARTED - timedelta(minutes=40)).isoformat(), "host": "WS01", "process_id": "4242"}
    expected = [
        ({"_span": "3600"}, Answer.YES),
        ({"_span": "600"}, Answer.NO),
        ({"_span": "month"}, Answer.UNKNOWN),
        ({"_span": "9" * 30}, Answer.UNKNOWN),
        ({}, Answer.UNKNOWN),
    ]
    for span, answer in expected:
        head.rows["main"] = [{**begins, **span}]
        result = await head.look({section: {"query": query}})
        assert getattr(result, section) is answer, span


async def test_the_bin_of_an_alert_is_not_the_time_of_its_event(head: SearchHead) -> None:
    begins = (STARTED - timedelta(hours=1)).isoformat()
    head.rows["notable"] = [{"_time": begins, "_span": "7200", "dest": "WS01", "rule_name": "LSASS dump"}]
    result = await head.look({"alert": {"rule": "LSASS dump", "query": "x | bin _time span=2h"}})
    assert result.alert is Answer.UNKNOWN


def test_a_notable_that_is_suppressed_is_one_that_nobody_sees() -> None:
    assert alert_of({"eventtype": ["notable", "notable_suppression-lab"]}).suppressed


@pytest.mark.parametrize(
    "annotated",
    [
        {"annotations.mitre_attack": ["T1003.001", "T1055"]},
        {"annotations": '{"mitre_attack": ["T1003.001", "T1055"]}'},
        {"annotations.mitre_attack.mitre_technique_id": ["T1003.001", "T1055"]},
        {"mitre_attack_id": "T1003.001 T1055"},
    ],
)
def test_techniques_are_read_from_annotations(annotated: dict[str, Any]) -> None:
    assert alert_of(annotated).techniques == ("T1003.001", "T1055")


@pytest.mark.parametrize(
    ("row", "prevention"),
    [
        ({"action": "blocked"}, Prevention.BLOCKED),
        ({"action": ["allowed", "Blocked"]}, Prevention.BLOCKED),
        ({"action": "allowed"}, Prevention.NOT_BLOCKED),
        ({"action": "unknown"}, Prevention.UNKNOWN),
        ({}, Prevention.UNKNOWN),
    ],
)
def test_only_the_field_that_was_named_tells_what_was_blocked(row: dict[str, Any], prevention: Prevention) -> None:
    assert alert_of(row, prevented_when={"action": "blocked"}).prevention is prevention
    assert alert_of(row).prevention is Prevention.UNKNOWN


async def test_an_expectation_may_name_that_field_itself(head: SearchHead) -> None:
    ours = a_row(dest="ws01", rule_name="LSASS dump", orig_time=STARTED.isoformat(), vendor_action="denied")
    head.rows["notable"] = [ours]
    result = await head.look({**ALERT, "prevention": True, "prevented_when": {"vendor_action": "denied"}})
    assert result.prevention is Prevention.BLOCKED


def test_an_event_of_windows_is_read() -> None:
    row = {
        "NewProcessId": "0x1092",
        "ProcessId": "0x3e7",
        "CommandLine": "whoami",
        "Computer": "WS01.corp",
        "User": "CORP\\a",
    }
    event = event_of(row)
    assert (event.pid, event.ancestors) == (4242, (999,))
    assert (event.hosts, event.commands, event.users) == (("WS01.corp",), ("whoami",), ("CORP\\a",))


def test_hashes_are_read_but_for_that_of_imports() -> None:
    row = {"Hashes": f"MD5={'a' * 32},SHA256={'b' * 64},IMPHASH={'c' * 32}"}
    assert event_of(row).hashes == ("a" * 32, "b" * 64)


def test_a_host_that_is_an_address_is_one() -> None:
    assert event_of({"dest": "10.1.2.3", "host": "ws01"}).addresses == ("10.1.2.3",)


def test_a_match_names_the_author_of_its_rule() -> None:
    match = match_of(a_row(), {"title": "Dump", "id": "1", "author": "An Author"})
    assert (match.title, match.rule, match.rule_id) == ("Dump (rule by An Author)", "Dump", "1")


async def test_how_late_events_were_stored_is_told(head: SearchHead) -> None:
    head.rows["main"] = [a_row(_indextime=str(STARTED.timestamp() + 240))]
    result = await head.look(SEARCH)
    assert "events were stored up to 240 s late" in str(result.result_metadata)


def test_an_event_is_of_the_host_that_logged_it_and_an_alert_of_both_ends() -> None:
    row = {"host": "dc01", "src": "ws01", "dest": "dc01.corp"}
    assert event_of(row).hosts == ("dc01", "dc01.corp")
    assert set(alert_of(row).hosts) == {"dc01.corp", "ws01"}
    assert set(fired_of({}, row, 0).hosts) == {"dc01", "dc01.corp", "ws01"}
