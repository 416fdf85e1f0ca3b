"""One event under Sigma's names, whoever collected it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from checking_plugin_sigma.events.instant import collected_of, is_contradicted, utc_of
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.normalise import event_of
from checking_plugin_sigma.events.routing import Logsource, route_of

SYSMON = "Microsoft-Windows-Sysmon/Operational"
DATA = {"Image": r"C:\a.exe", "UtcTime": "2020-10-18 23:49:40.854"}
SHAPES = {
    "nxlog": {"Channel": SYSMON, "EventID": 1, "Hostname": "WS01", "SourceName": "Microsoft-Windows-Sysmon", **DATA},
    "winlogbeat 6": {
        "log_name": SYSMON,
        "event_id": 1,
        "computer_name": "WS01",
        "source_name": "Microsoft-Windows-Sysmon",
        "event_data": DATA,
    },
    "winlogbeat": {
        "winlog": {
            "channel": SYSMON,
            "event_id": "1",
            "computer_name": "WS01",
            "provider_name": "Microsoft-Windows-Sysmon",
            "event_data": DATA,
        }
    },
    "evtx": {
        "Event": {
            "#attributes": {"xmlns": "x"},
            "System": {
                "Provider": {"#attributes": {"Name": "Microsoft-Windows-Sysmon"}},
                "EventID": {"#attributes": {"Qualifiers": 0}, "#text": 1},
                "Channel": SYSMON,
                "Computer": "WS01",
                "TimeCreated": {"#attributes": {"SystemTime": "2020-10-18T23:49:41.000Z"}},
            },
            "EventData": {"#attributes": {"Name": "x"}, **DATA},
        }
    },
}


def moment_of(fields, zone):
    return utc_of(fields) or collected_of(fields, zone)


def event(**record) -> Event:
    return event_of(record, 1, b"{}")


@pytest.mark.parametrize("shape", SHAPES)
def test_an_event_is_the_same_whoever_collected_it(shape):
    found = event(**SHAPES[shape])
    told = {name: found.text(name) for name in ("Channel", "EventID", "Computer", "Provider_Name", "Image")}
    assert told == {
        "Channel": SYSMON,
        "EventID": "1",
        "Computer": "WS01",
        "Provider_Name": "Microsoft-Windows-Sysmon",
        "Image": r"C:\a.exe",
    }
    assert found.host == "WS01"
    assert found.route.serves(Logsource("windows", "process_creation"))
    assert moment_of(found.fields, None) == datetime(2020, 10, 18, 23, 49, 40, 854000, UTC)


@pytest.mark.parametrize(
    ("channel", "event_id", "event_type", "wanted"),
    [
        (SYSMON, "1", "", Logsource("windows", "process_creation")),
        (SYSMON, "1", "", Logsource(None, "process_creation")),
        (SYSMON.upper(), "7", "", Logsource("windows", "image_load", "sysmon")),
        (SYSMON, "12", "CreateKey", Logsource("windows", "registry_add")),
        (SYSMON, "12", "DeleteValue", Logsource("windows", "registry_delete")),
        (SYSMON, "13", "SetValue", Logsource("windows", "registry_set")),
        (SYSMON, "13", "SetValue", Logsource("windows", "registry_event")),
        ("Security", "4688", "", Logsource("windows", "process_creation")),
        ("Security", "4624", "", Logsource("windows", None, "security")),
        ("Security", "4624", "", Logsource("windows")),
        ("Windows PowerShell", "400", "", Logsource("windows", "ps_classic_start")),
        ("PowerShellCore/Operational", "4104", "", Logsource("windows", "ps_script")),
        ("Microsoft-Windows-DNS-Client/Operational", "3008", "", Logsource("windows", None, "dns-client")),
        ("Microsoft-Windows-Windows Defender/Operational", "1116", "", Logsource(None, "antivirus")),
        ("Linux-Sysmon/Operational", "1", "", Logsource("linux", "process_creation")),
        ("Some-Vendor/Own", "1", "", Logsource("windows")),
    ],
)
def test_channel_and_event_id_say_which_rules_are_asked(channel, event_id, event_type, wanted):
    assert route_of(channel, event_id, event_type).serves(wanted)


@pytest.mark.parametrize(
    ("channel", "event_id", "wanted"),
    [
        (SYSMON, "3", Logsource("windows", "process_creation")),
        (SYSMON, "12", Logsource("windows", "registry_add")),
        ("Security", "1", Logsource("windows", "process_creation")),
        ("Security", "x", Logsource("windows", "process_creation")),
        ("Security", "4" * 5000, Logsource("windows", "process_creation")),
        ("Linux-Sysmon/Operational", "1", Logsource("windows", "process_creation")),
        (SYSMON, "1", Logsource("windows", "process_creation", "security")),
    ],
)
def test_no_other_rule_is_asked(channel, event_id, wanted):
    assert not route_of(channel, event_id, "").serves(wanted)


def test_security_4688_has_the_names_of_sysmon_1():
    found = event(
        Channel="Security",
        EventID=4688,
        NewProcessName="a.exe",
        ParentProcessName="b.exe",
        SubjectUserName="eve",
        NewProcessId="0x1f4",
        ProcessId="0x64",
        MandatoryLabel="S-1-16-12288",
    )
    names = ("Image", "ParentImage", "User", "ProcessId", "ParentProcessId", "IntegrityLevel")
    assert [found.text(name) for name in names] == ["a.exe", "b.exe", "eve", "500", "100", "High"]


def test_nxlog_hides_sysmons_event_type_and_keeps_it_misspelt():
    assert (
        event(Channel=SYSMON, EventID=12, EventType="INFO", EventTypeOrignal="CreateKey").text("EventType")
        == "CreateKey"
    )
    assert event(Channel=SYSMON, EventID=1, EventType="INFO").text("EventType") == ""


def test_names_of_fields_lose_their_blanks():
    found = event(
        **{
            "Channel": "Microsoft-Windows-Windows Defender/Operational",
            "EventID": 1116,
            "Threat Name": "EICAR",
            "Path": "x",
        }
    )
    assert [found.text(name) for name in ("ThreatName", "Signature", "Filename")] == ["EICAR", "EICAR", "x"]


def test_classic_powershell_has_its_data():
    assert (
        event(Channel="Windows PowerShell", EventID=400, Message="HostApplication=x").text("Data")
        == "HostApplication=x"
    )
    inside = {
        "System": {"EventID": 400, "Channel": "Windows PowerShell"},
        "EventData": {"Data": {"#text": ["one", None, "two"]}},
    }
    assert event(Event=inside).text("Data") == "one\ntwo"


def test_user_data_of_a_windows_event_are_fields():
    inside = {
        "System": {"EventID": 1102, "Channel": "Security"},
        "UserData": {"LogFileCleared": {"#attributes": {}, "SubjectUserName": "eve"}},
    }
    assert event(Event=inside).text("SubjectUserName") == "eve"


def test_a_record_of_the_journal_belongs_to_its_program():
    found = event(
        __REALTIME_TIMESTAMP="1603000000123000",
        _HOSTNAME="web1",
        SYSLOG_IDENTIFIER="sshd",
        SYSLOG_FACILITY="10",
        MESSAGE="Failed password",
    )
    assert found.host == "web1"
    assert all(found.route.serves(Logsource("linux", None, service)) for service in ("sshd", "auth", "syslog"))
    assert moment_of(found.fields, None) == datetime(2020, 10, 18, 5, 46, 40, 123000, UTC)


def test_any_event_may_name_its_log_source():
    found = event(logsource={"product": "Linux", "category": "process_creation"}, Image="/bin/id")
    assert found.route.serves(Logsource("linux", "process_creation"))
    assert "logsource.product" not in found.fields
    assert event(eventSource="iam.amazonaws.com", awsRegion="x").route.serves(Logsource("aws", None, "cloudtrail"))
    assert not event(a=1).route.serves(Logsource("windows"))


@pytest.mark.parametrize(
    ("fields", "zone", "expected"),
    [
        (
            {
                "UtcTime": "2020-10-18 23:49:40.854",
                "EventTime": "2020-10-18 07:49:40",
                "@timestamp": "2020-10-19T03:00:00Z",
            },
            None,
            "2020-10-18T23:49:40.854",
        ),
        (
            {"SystemTime": "2020-10-18T23:49:40.1234567Z", "@timestamp": "2020-10-19T03:00:00Z"},
            None,
            "2020-10-18T23:49:40.123456",
        ),
        (
            {"@timestamp": "2020-10-18T23:49:40Z", "EventTime": "2020-10-18 07:49:40"},
            "America/New_York",
            "2020-10-18T23:49:40",
        ),
        ({"TimeCreated": "2020-10-18T23:49:40+02:00"}, None, "2020-10-18T21:49:40"),
        ({"EventTime": "2020-10-18 19:49:40"}, "America/New_York", "2020-10-18T23:49:40"),
        ({"EventTime": "2020-10-18 19:49:40"}, None, None),
        ({"EventTime": "yesterday"}, "UTC", None),
        ({"time": "20201018"}, "UTC", None),
        ({"UtcTime": "1601-01-01 00:00:00", "@timestamp": "2020-10-18T23:49:40Z"}, None, "2020-10-18T23:49:40"),
        ({"EventTime": "0001-01-01 00:00:00", "time": "2020-10-18 23:49:40"}, "Asia/Tokyo", "2020-10-18T14:49:40"),
        ({}, "UTC", None),
    ],
)
def test_a_time_is_known_only_beyond_doubt(fields, zone, expected):
    found = moment_of(fields, ZoneInfo(zone) if zone else None)
    assert (found.replace(tzinfo=None).isoformat() if found else None) == (
        datetime.fromisoformat(expected).isoformat() if expected else None
    )


@pytest.mark.parametrize(
    ("fields", "contradicted"),
    [
        ({"UtcTime": "2020-10-23 06:36:43.542", "@timestamp": "2020-10-23T02:36:43.547Z"}, True),
        ({"UtcTime": "2020-10-23 06:36:43.542", "@timestamp": "2020-10-23T06:36:45Z"}, False),
        ({"UtcTime": "2020-10-23 06:36:43.542", "TimeCreated": "2020-10-23 02:36:43"}, False),
        ({"@timestamp": "2020-10-23T02:36:43.547Z"}, False),
    ],
)
def test_a_collector_that_calls_local_time_utc_is_caught(fields, contradicted):
    assert is_contradicted(fields, None) is contradicted
