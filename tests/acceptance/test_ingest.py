"""``checking ingest`` as a process, on what a real Caldera server sent and exported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.services import fresh_database

from .bundle import OPERATION, message
from .command import checking
from .database import everything, rows

pytestmark = pytest.mark.xdist_group("ingest")  # one worker, so that what tests share is made once

EXPECTATIONS = """
version: 1
backends_default: [mock]
expectations:
- id: processes
  when: {ability: 3b5db901-2cb8-4df7-8043-c4628a6a5d5a}
  expect: matched
  rule: {query: 'process.command_line:"ps aux"'}
  telemetry: {query: 'process.name:ps'}
  alive: {query: 'host.name:${agent_host}'}
- id: identity
  when: {technique: T1033}
  expect: logged
  telemetry: {query: 'process.name:(id or whoami)'}
  alive: {query: 'host.name:${agent_host}'}
- id: anything
  when: {agent: "*"}
  expect: alerted
  alert: {rule: "Suspicious shell"}
"""

SCENARIO = """
- {command: grep daemon, answer: matched}
- {command: grep root, answer: logged}
- {command: grep user, answer: none}
- {technique: T1033, answer: logged}
- {technique: T1083, answer: alerted}
- {answer: no_alert}
"""

A = "9d5cec5b-07a5-4447-ba88-2a8df7d1a6dd"
A_BY_REPORT = "45f6d6e5-be5e-5717-a7f9-366b145b5ba8"
EDGE = "efdf51fe-1bff-49b8-8b55-239e09014f40"
LOST = "0fc80315-0bd2-4b09-8c69-e5956e1b167e"

OF_EXPECTATIONS = [
    (1, "identity", "logged", "yes"),
    (2, "anything", "no_alert", "no"),
    (3, "anything", "alerted", "yes"),
    (4, "processes", "matched", "yes"),
    (5, "processes", "logged", "no"),
    (6, "processes", "none", "no"),
    (7, "anything", "no_alert", "no"),
    (8, "identity", "logged", "yes"),
]
OF_THE_HINT = (8, "", "inconclusive", "unknown")  # it names no backend
ALL_VERDICTS = sorted([*OF_EXPECTATIONS, OF_THE_HINT])
NINTH_IS_CLEANUP = (9, "cleanup")


@pytest.fixture(scope="module")
def caldera(shared_data: Path) -> Path:
    return shared_data / "caldera"


class Lab:
    """A folder with expectations, a scenario and, unless told otherwise, a database."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        (folder / "expectations.yml").write_text(EXPECTATIONS)
        (folder / "scenario.yml").write_text(SCENARIO)
        self._settings = {"MOCK_SCENARIO": "scenario.yml", **settings}

    def ingest(self, file: Path | str, *, given: str | None = None, code: int = 0) -> str:
        """What it says on stdout, and on stderr for another code."""
        options = ("--expectations", "expectations.yml")
        done = checking(self.folder, "ingest", str(file), *options, given=given, **self._settings)
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def report(self, operation: str) -> dict[str, Any]:
        done = checking(self.folder, "report", operation, "--format", "json", **self._settings)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture(scope="module")
def operation_a(caldera: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The messages of operation A, ingested once: tests look, or ingest what must change nothing."""
    lab = Lab(tmp_path_factory.mktemp("operation_a"))
    told = lab.ingest(caldera / "operation_A" / "plugin_messages.jsonl")
    assert (
        told == f"Messages: 12 new, 0 revised, 0 repeated, 0 rejected. Checks: 9 closed.\nNext: checking report {A}\n"
    )
    return lab


def verdicts(report: dict[str, Any]) -> list[tuple[int, str, str, str]]:
    """Step, expectation, outcome and whether it was met, of every check."""
    return [
        (line["execution"]["step"], check["expectation_id"] or "", check["outcome"], check["met"])
        for line in report["lines"]
        if (check := line["check"])
    ]


def unchecked(report: dict[str, Any]) -> list[tuple[int, str]]:
    """Step and why, of the executions without checks."""
    return [(line["execution"]["step"], line["unchecked"]) for line in report["lines"] if line["unchecked"]]


def test_every_execution_is_stored_and_its_checks_have_their_verdicts(operation_a: Lab) -> None:
    report = operation_a.report("latest")
    assert (report["operation"]["operation_id"], report["operation"]["state"]) == (A, "finished")
    assert verdicts(report) == ALL_VERDICTS
    assert unchecked(report) == [NINTH_IS_CLEANUP]
    assert report["summary"]["executions"] == 9
    assert report["summary"]["open"] == 0


def test_each_link_of_one_ability_has_a_check_and_a_result_of_its_own(operation_a: Lab) -> None:
    query = """
        SELECT execution.command, result.outcome, count(*)
        FROM execution_results AS execution
        JOIN detection_executions AS "check" ON "check".execution_result_id = execution.id
        JOIN detection_results AS result ON result.detection_execution_id = "check".id
        WHERE execution.technique_id = 'T1057' GROUP BY execution.id ORDER BY execution.command
    """
    assert rows(operation_a.folder, query) == [
        ("ps aux | grep daemon", "matched", 1),
        ("ps aux | grep root", "logged", 1),
        ("ps aux | grep user", "none", 1),
    ]


@pytest.mark.parametrize(
    ("name", "messages"), [("plugin_messages.jsonl", 12), ("operation.json", 10), ("-", 12)], ids=str
)
def test_the_same_operation_again_changes_no_row(operation_a: Lab, caldera: Path, name: str, messages: int) -> None:
    folder = caldera / "operation_A"
    before = everything(operation_a.folder)
    if name == "-":
        told = operation_a.ingest("-", given=(folder / "plugin_messages.jsonl").read_text())
    else:
        told = operation_a.ingest(folder / name)
    assert told.startswith(f"Messages: 0 new, 0 revised, {messages} repeated, 0 rejected.")
    assert everything(operation_a.folder) == before


def test_an_operation_export_alone_gives_the_same_executions_and_verdicts(lab: Lab, caldera: Path) -> None:
    lab.ingest(caldera / "operation_A" / "operation.json")
    report = lab.report(A)
    assert verdicts(report) == ALL_VERDICTS
    assert unchecked(report) == [NINTH_IS_CLEANUP]


def test_a_report_is_the_same_operation_each_time(lab: Lab, caldera: Path) -> None:
    lab.ingest(caldera / "operation_A" / "report.json")
    before = everything(lab.folder)
    told = lab.ingest(caldera / "operation_A" / "report.json")
    assert told.startswith("Messages: 0 new, 0 revised, 10 repeated, 0 rejected.")
    assert everything(lab.folder) == before
    report = lab.report(A_BY_REPORT)
    assert verdicts(report) == OF_EXPECTATIONS
    assert unchecked(report) == [NINTH_IS_CLEANUP]


def test_the_last_result_of_a_link_counts_and_what_never_ran_is_no_miss(lab: Lab, caldera: Path) -> None:
    lab.ingest(caldera / "edge_cases" / "plugin_messages.jsonl")
    stored = rows(lab.folder, "SELECT command, revision, run_state FROM execution_results ORDER BY command")
    assert stored == [("hostname", 2, "ran"), ("id", 3, "failed"), ("uname -s", 1, "never_ran"), ("whoami", 1, "ran")]
    checks = rows(
        lab.folder,
        """
        SELECT execution.command, "check".outcome, "check".dispatches, count(result.id)
        FROM detection_executions AS "check"
        JOIN execution_results AS execution ON execution.id = "check".execution_result_id
        JOIN detection_results AS result ON result.detection_execution_id = "check".id
        GROUP BY "check".id ORDER BY execution.command
        """,
    )
    assert checks == [
        ("hostname", "no_alert", 1, 1),
        ("id", "no_alert", 1, 1),
        ("uname -s", "not_run", 0, 1),
        ("whoami", "no_alert", 1, 1),
    ]
    before = everything(lab.folder)
    assert "0 new, 0 revised" in lab.ingest(caldera / "edge_cases" / "operation.json")
    assert everything(lab.folder) == before


def test_a_link_that_was_handed_out_and_never_answered_is_checked(lab: Lab, caldera: Path) -> None:
    lab.ingest(caldera / "edge_cases" / "operation_result_lost_during_restart.json")
    report = lab.report(LOST)
    assert [line["execution"]["run_state"] for line in report["lines"]] == ["lost"]
    assert verdicts(report) == [(1, "identity", "logged", "yes")]


def test_links_without_their_operation_are_refused_with_the_way_to_get_it(lab: Lab, caldera: Path) -> None:
    file = caldera / "edge_cases" / "manual_approval_links.json"
    (line,) = lab.ingest(file, code=2).splitlines()
    assert line.startswith(f"checking: {file}: holds links without their operation; export the operation")
    assert everything(lab.folder)["operations"] == []


def test_what_is_rejected_is_named_by_file_line_and_field_and_costs_nothing_else(lab: Lab) -> None:
    file = lab.folder / "feed.jsonl"
    without_host = json.loads(message(2))
    del without_host["execution"]["agent_host"]
    file.write_text("\n".join([message(1), json.dumps(without_host), "{broken", message(3)]))
    first, second = lab.ingest(file, code=1).splitlines()
    assert first.startswith(f"{file}:3: execution.agent_host: is missing")
    assert second.startswith(f"{file}:4: $: is no JSON")
    assert [line["execution"]["command"] for line in lab.report(OPERATION)["lines"]] == ["whoami 1", "whoami 3"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "name a file to ingest, - for stdin"),
        (("feed.jsonl", "nowhere.jsonl"), "nowhere.jsonl: is not there"),
        (("feed.jsonl", "--expectation", "typo.yml"), "--expectation is no option"),
        (("feed.jsonl", "--expectations", "nowhere.yml"), "nowhere.yml:1: cannot be read"),
        (
            ("feed.jsonl", "--expectations", "typo.yml"),
            "typo.yml:2: backend: mok is not configured; did you mean mock?",
        ),
    ],
    ids=["no file", "missing file", "unknown option", "missing expectations", "unknown backend"],
)
def test_a_wrong_call_is_told_before_anything_is_stored(
    tmp_path: Path, arguments: tuple[str, ...], problem: str
) -> None:
    (tmp_path / "feed.jsonl").write_text(message())
    (tmp_path / "typo.yml").write_text(EXPECTATIONS.strip().replace("[mock]", "[mok]"))
    done = checking(tmp_path, "ingest", *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("checking: ")
    assert problem in line
    assert not (tmp_path / "checking.db").exists()


def test_a_check_that_needs_a_second_look_waits_in_the_database_or_is_waited_for(tmp_path: Path) -> None:
    config = {"deadline": 600, "poll_interval": 3, "mock": {"answer": "alerted", "after_looks": 1}}
    (tmp_path / "feed.jsonl").write_text(message(ended=datetime.now(UTC), **config))
    left = checking(tmp_path, "ingest", "feed.jsonl")
    assert "Checks: 0 closed, 1 asked again from" in left.stdout
    assert "--wait" in left.stdout
    stayed = checking(tmp_path, "ingest", "feed.jsonl", "--wait")
    assert stayed.stdout.startswith("Messages: 0 new, 0 revised, 1 repeated, 0 rejected. Checks: 1 closed.")
    assert rows(tmp_path, "SELECT look, outcome FROM detection_executions") == [(2, "alerted")]
    assert rows(tmp_path, "SELECT look, outcome FROM detection_results") == [(2, "alerted")]


@pytest.fixture(scope="module")
def postgres_database(postgres_server_url: str) -> Iterator[str]:
    """Empty, without a schema."""
    with fresh_database(postgres_server_url) as url:
        yield url


@pytest.mark.postgres
def test_postgresql_gives_the_same_verdicts_once_its_schema_is_there(
    tmp_path: Path, caldera: Path, postgres_database: str
) -> None:
    lab = Lab(tmp_path, DATABASE_URL=postgres_database)
    messages = caldera / "operation_A" / "plugin_messages.jsonl"
    (line,) = lab.ingest(messages, code=3).splitlines()
    assert line.endswith("run: checking db upgrade")
    assert checking(tmp_path, "db", "upgrade", DATABASE_URL=postgres_database).returncode == 0
    assert "12 new" in lab.ingest(messages)
    assert "0 new, 0 revised, 10 repeated" in lab.ingest(caldera / "operation_A" / "operation.json")
    report = lab.report(A)
    assert verdicts(report) == ALL_VERDICTS
    assert unchecked(report) == [NINTH_IS_CLEANUP]
    assert list(tmp_path.glob("checking.db*")) == []
