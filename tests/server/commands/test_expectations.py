"""``checking expectations``: what is wrong, and what is planned, before anything runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.server.conftest import Stations, hint

from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.expectations import schema as schema_of_file
from checking_core.plugin import forecast
from checking_plugin_mock.detector import MockDetector
from checking_server.cli import app
from checking_server.commands.expectations import lint, plan, schema
from checking_server.planning import plan_file, plan_stored

Link = Callable[..., bytes]
Output = pytest.CaptureFixture[str]
WRITTEN = """version: 1
expectations:
- {id: who, when: {command: whoami}, backend: mock, expect: logged, telemetry: {query: q}, settle: 5, deadline: 60,
   alive: {query: up}}
"""


RULE = """\
title: Dump
logsource: {product: windows}
detection: {selection: {Image: x}, condition: selection}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "expectations.yml"
    path.write_text(WRITTEN)
    return path


# --- lint ------------------------------------------------------------------------------------------------------


def test_good_files_are_passed(written: Path, capsys: Output):
    assert lint(written) == 0
    assert capsys.readouterr().out == ""


def test_every_problem_is_told_with_its_place(written: Path, capsys: Output):
    written.write_text(WRITTEN.replace("mock", "mokc").replace("query: q", "query: 'earliest=-1h \u202e'"))
    assert lint(written) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{written}:3: unknown-backend backend: mokc is not configured; did you mean mock?"
    assert second.startswith(f"{written}:3: own-time-range")


def test_the_keys_of_an_installed_plugin_are_known(written: Path):
    """The mock plugin reads ``mock``, lint and plan alike."""
    written.write_text(WRITTEN.replace("settle: 5", "mock: {answer: logged}"))
    assert lint(written) == 0
    written.write_text(WRITTEN.replace("settle: 5", "mokc: {answer: logged}"))
    assert lint(written) == 1


def test_a_sigma_rule_is_looked_for_where_its_backend_has_its_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules/dump.yml").write_text(RULE)
    (tmp_path / "log.jsonl").touch()
    monkeypatch.setenv("CHECKING_SIGMA_RULES", str(tmp_path / "rules"))
    monkeypatch.setenv("CHECKING_SIGMA_EVENTS", str(tmp_path / "log.jsonl"))
    monkeypatch.setenv("CHECKING_SIGMA_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "expectations.yml"
    text = "version: 1\nexpectations:\n- {id: one, when: {technique: T1003}, backend: sigma, sigma: dump.yml}\n"
    path.write_text(text)
    assert lint(path) == 0
    path.write_text(text.replace("dump", "dumb"))
    assert lint(path) == 1
    told = f"{path}:3: not-convertible sigma: sigma: the folder of rules holds no dumb.yml; did you mean dump.yml?"
    assert capsys.readouterr().out.startswith(told)


def test_without_paths_the_configured_files_are_looked_at(written: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigurationError, match="CHECKING_EXPECTATIONS"):
        lint()
    monkeypatch.setenv("CHECKING_EXPECTATIONS", str(written))
    assert lint() == 0


def test_the_schema_is_json(capsys: Output):
    schema()
    assert json.loads(capsys.readouterr().out) == schema_of_file()


# --- plan ------------------------------------------------------------------------------------------------------


def test_a_file_is_planned_without_a_store(written: Path, link: Link, tmp_path: Path, capsys: Output):
    file = tmp_path / "operation.jsonl"
    file.write_bytes(b"\n".join([link(1), link(2, cleanup=True), link(3, link_state="DISCARD"), link(4, command="id")]))
    assert plan(str(file), expectations=(written,)) == 0
    told = capsys.readouterr().out
    for words in ("who @ mock", "5 s to 60 s", "no check", "not_run", "4 executions, 1 of them without checks"):
        assert words in told, words
    assert "The backend siem is not configured" in told
    assert not (tmp_path / "checking.db").exists()


def test_a_message_that_cannot_be_read_is_told(link: Link, tmp_path: Path, capsys: Output):
    file = tmp_path / "operation.jsonl"
    file.write_bytes(link(1) + b'\n{"message_type": "nonsense"}\n')
    assert plan(str(file)) == 1
    assert f"Cannot be read: {file}:2" in capsys.readouterr().out


def test_stdin_is_planned(link: Link, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "operation.jsonl"
    file.write_bytes(link())
    with file.open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert app(["expectations", "plan", "-"]) == 0
    assert "1 execution, 0 of them without checks; 1 check." in capsys.readouterr().out


def test_of_several_messages_of_a_link_the_last_result_is_planned(written: Path, link: Link, tmp_path: Path):
    file = tmp_path / "operation.jsonl"
    later = link(1, command="whoami /all", finish="2026-01-15T09:05:00Z", detections=None)
    file.write_bytes(later + b"\n" + link(1, detections=None) + b"\n" + link(2, collect="2026-01-15T08:00:00Z"))
    first, second = plan_file(str(file), [written]).steps
    assert (first.execution.started_at < second.execution.started_at, second.execution.step) == (True, 2)
    assert second.execution.command == "whoami /all"
    assert [check.expectation_id for check in second.checks] == ["who"]


async def test_a_stored_operation_is_planned_as_it_was_told(written: Path, stations: Stations, link: Link):
    """Hints are in the message only: what is planned now may differ from what was planned then."""
    await stations.accepts(link(1, detections=[hint("edr")]), link(2, cleanup=True))
    before = await stations.checks()
    planned = await plan_stored("op", [written])
    assert [[check.backend for check in step.checks] for step in planned.steps] == [["mock", "edr"], []]
    assert planned.title == "op"
    assert await stations.checks() == before
    with pytest.raises(NotFoundError):
        await plan_stored("nope", [written])


# --- what is asked of the backends -----------------------------------------------------------------------------


@pytest.fixture
def operation(link: Link, tmp_path: Path) -> Path:
    """Ten executions, a minute apart."""
    file = tmp_path / "operation.jsonl"
    times = [{"collect": f"2026-01-15T09:{n:02}:00Z", "finish": f"2026-01-15T09:{n:02}:02Z"} for n in range(10)]
    file.write_bytes(b"\n".join(link(n, detections=None, **told) for n, told in enumerate(times, start=1)))
    return file


def test_a_plan_tells_the_most_that_a_backend_is_asked(written: Path, operation: Path, capsys: Output):
    assert plan(str(operation), expectations=(written,)) == 0
    assert "mock: 10 checks, at most 40 looks and 40 searches." in capsys.readouterr().out


def test_a_plan_tells_the_time_of_the_budget_and_a_deadline_that_cannot_be_met(
    written: Path, operation: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(MockDetector, "concurrency", 1)
    assert plan(str(operation), expectations=(written,)) == 0
    told = capsys.readouterr().out
    assert "and 40 searches, 80 s of the backend's budget." in told
    assert "deadline" not in told
    monkeypatch.setattr(forecast, "SECONDS_OF_A_SEARCH", 60.0)
    assert plan(str(operation), expectations=(written,)) == 0
    assert "mock cannot meet every deadline: some searches wait " in capsys.readouterr().out


def test_a_plan_tells_checks_that_cannot_be_asked(written: Path, operation: Path, capsys: Output):
    written.write_text(WRITTEN.replace("settle: 5", "mock: {answer: perhaps}"))
    assert plan(str(operation), expectations=(written,)) == 0
    assert "mock cannot be asked: who: its configuration: ValidationError" in " ".join(capsys.readouterr().out.split())


def test_a_plan_tells_expectations_that_speak_of_nothing_here(written: Path, operation: Path, capsys: Output):
    written.write_text(WRITTEN.replace("command: whoami", "command: whoareyou"))
    assert plan(str(operation), expectations=(written,)) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "expectations.yml:3: matches-nothing who: speaks of no execution of this operation; correct its when" in told


def test_a_backend_whose_plugin_is_not_installed_is_not_reckoned(
    written: Path, operation: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHECKING_BACKENDS", '{"mock": {"plugin": "gone"}}')
    assert plan(str(operation), expectations=(written,)) == 0
    told = capsys.readouterr().out
    assert "10 checks." in told
    assert " looks and " not in told
