"""Recorded telemetry of real attacks: what belongs to the execution is found among all that the host did meanwhile."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checking_core.contracts import Answer, Clock, DetectionConfig, MatchTier
from checking_core.matching.identity import identity_of
from checking_core.matching.record import Alert, Event
from checking_core.matching.sift import Sifted, sift
from checking_core.matching.window import windows_of
from checking_core.testing.builders import a_context

from .records import ANY_ALERT, TELEMETRY
from .test_matching_window import TIMING

ESENTUTL = "esentutl.exe /y /vss C:\\windows/system32/config/SAM /d C:\\ProgramData\\SAM"
MSHTA = (
    'mshta vbscript:Execute("CreateObject(""Wscript.Shell"").Run ""powershell -noexit -command Get-Service sysmon""'
    ':close")'
)


def sysmon(folder: Path, recording: str) -> list[Event]:
    """What Sysmon wrote; of the other channels only local times are known."""
    with gzip.open(folder / "sigma" / f"{recording}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [event_of(number, row) for number, row in enumerate(rows) if row.get("UtcTime")]


def event_of(number: int, row: dict[str, Any]) -> Event:
    """One row in core's words."""

    def told(*names: str) -> tuple[str, ...]:
        return tuple(row[name] for name in names if row.get(name))

    process = row.get("ProcessId", row.get("SourceProcessId"))
    return Event(
        id=f"row {number}",
        hosts=told("Hostname"),
        users=told("User"),
        pid=int(process) if process else None,
        ancestors=tuple(map(int, told("ParentProcessId"))),
        commands=told("CommandLine"),
        hashes=told("Hashes"),
        event_at=datetime.fromisoformat(row["UtcTime"]).replace(tzinfo=UTC),
        fields={"EventID": row["EventID"]},
    )


def belonging(records: list[Event], command: str, started: str, question=TELEMETRY, **context: Any) -> Sifted:
    """What a run of a second, started by an agent that was told to run this, is found to have left."""
    start = datetime.fromisoformat(started).replace(tzinfo=UTC)
    execution = a_context(
        agent_host="workstation5.theshire.local",
        command=command,
        technique_id=None,
        clock=Clock.SERVER,
        started_at=start,
        finished_at=start + timedelta(seconds=1),
        **context,
    )
    windows = windows_of(execution, TIMING, now=start + timedelta(hours=1))
    identity = identity_of(execution, DetectionConfig(), windows.lived)
    return sift(records, question, identity, windows.accepted)


@pytest.mark.parametrize(
    ("recording", "command", "started"),
    [
        ("cmd_sam_copy_esentutl", ESENTUTL, "2020-10-19T04:28:31"),
        ("cmd_mshta_vbscript_execute_psh", MSHTA, "2020-10-22T06:57:59"),
    ],
)
def test_the_command_is_found_as_the_sensor_shows_it(shared_data, recording, command, started):
    records = sysmon(shared_data, recording)
    found = belonging(records, command, started, question=ANY_ALERT, pid=None)
    assert found.answer is Answer.YES
    assert [(match.tie.tier, match.tie.fields) for match in found.matched] == [
        (MatchTier.ARTEFACT, ("host", "commands"))
    ]
    assert found.matched[0].record.fields["EventID"] in (1, "1")


def test_a_process_id_finds_the_process_and_its_children(shared_data):
    records = sysmon(shared_data, "cmd_mshta_vbscript_execute_psh")
    found = belonging(records, MSHTA, "2020-10-22T06:57:59", question=ANY_ALERT, pid=10980)
    started = [match for match in found.matched if match.record.fields["EventID"] in (1, "1")]
    assert [(match.record.pid, match.tie.fields) for match in started] == [
        (10980, ("host", "pid")),
        (9572, ("host", "ancestors")),
    ]
    assert {match.tie.tier for match in found.matched} == {MatchTier.PROCESS}
    assert all(10980 in (match.record.pid, *match.record.ancestors) for match in found.matched)


def test_nothing_of_an_attack_belongs_to_an_execution_an_hour_later(shared_data):
    records = sysmon(shared_data, "cmd_sam_copy_esentutl")
    assert belonging(records, ESENTUTL, "2020-10-19T05:28:31").answer is Answer.NO


def test_a_notable_of_another_host_is_none_of_this_execution(shared_data):
    page = json.loads((shared_data / "backends" / "splunk" / "json_results_notable_200.json").read_text("utf-8"))
    row = page["body"]["results"][0]
    at = datetime.fromisoformat(row["_time"])
    notable = Alert(id=row["_cd"], hosts=(row["dest"],), rule=row["rule_name"], created_at=at, severity=row["severity"])
    started = at.astimezone(UTC).replace(tzinfo=None).isoformat()
    assert belonging([notable], ESENTUTL, started).rejected[0].reason == "alert_other_host"
