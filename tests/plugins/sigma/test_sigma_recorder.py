"""Recording: every program that a command starts, and the operation that the commands were."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from checking_core.errors import ConfigurationError
from checking_plugin_sigma.evaluate.scan import Scanner
from checking_plugin_sigma.recorder.record import Step, read_steps, record, write
from checking_plugin_sigma.recorder.trace import traced
from checking_server import cli

from .rules_and_events import a_rule

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="recording needs Linux")
CREATION = {"product": "linux", "category": "process_creation"}


def test_every_program_of_a_command_is_seen_however_short_it_lives(tmp_path):
    found = traced("true; (env printf x | cat) && env true; exit 3", tmp_path)
    names = sorted(Path(program.arguments[0]).name for program in found.programs[1:])
    assert names == ["cat", "env", "env", "printf", "true"]
    assert (found.exit_code, found.programs[0].pid) == (3, found.pid)
    assert {program.folder for program in found.programs} == {str(tmp_path)}
    assert found.started <= found.programs[0].at <= found.ended


def test_a_command_that_ends_itself_by_a_signal_is_followed_to_its_end(tmp_path):
    assert traced("kill -TERM $$", tmp_path).exit_code == -15


def test_other_children_of_the_process_are_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "60"]) as other:
        assert traced("env true", tmp_path).exit_code == 0
        assert other.poll() is None
        other.kill()
    assert other.returncode == -9


def test_a_recording_is_telemetry_that_rules_hit_and_an_operation_that_names_its_steps(tmp_path):
    steps = [
        Step(name="Real", technique="T1033", command="env id", pause=0),
        Step(name="Within", reads=Path("/proc/self/status"), pause=0),
        Step(name="Usual", command="env true", before=True, pause=0),
    ]
    write(record("An operation", steps, host="ws01", folder=tmp_path), tmp_path)
    told = [json.loads(line)["execution"] for line in (tmp_path / "operation.jsonl").read_text().splitlines()]
    assert [step["ability"]["name"] for step in told] == ["Real", "Within"]
    rule = a_rule({"CommandLine": "id", "Computer": "ws01"}, logsource=CREATION)
    (hit,) = Scanner([rule]).scan(tmp_path / "telemetry.jsonl")
    assert hit.event.line > 1, "what came before the operation is recorded first"
    assert told[0]["pid"] in (int(hit.event.text("ProcessId")), int(hit.event.text("ParentProcessId")))
    assert told[1]["pid"] is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "is no YAML"),
        ("just words", "is no list; write one step a line"),
        ("- words", "step 1: is no mapping; write key: value"),
        ("- {name: x}\n- {name: x, comand: id}", "step 2: comand is no known key; write command"),
        ("- {name: x, zzz: id}", "step 1: zzz is no known key; write name, technique,"),
        ("- {command: id}", "step 1: name is missing"),
        ("- {name: 4}", "step 1: name is no text; put it in quotes"),
        ("- {name: x, pause: long}", "step 1: pause is no number of seconds"),
        ("- {name: x, pause: -1}", "step 1: pause is less than nothing"),
        ("- {name: x, before: often}", "step 1: before is neither true nor false"),
        ("- {name: x, reads: 4}", "step 1: reads is no path"),
    ],
)
def test_wrong_steps_are_a_configuration_error_in_words(text, words, tmp_path):
    (tmp_path / "steps.yml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_steps(tmp_path / "steps.yml")
    assert str(raised.value).startswith(f"{tmp_path / 'steps.yml'}: {words}")


def test_a_file_that_cannot_be_read_is_a_step_that_failed(tmp_path):
    found = record("x", [Step(name="x", reads=tmp_path / "nothing", pause=0)], host="ws01", folder=tmp_path)
    assert [message["execution"]["status"] for message in found.messages] == [1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"--into": "{}/steps.yml"}, "--into: {}/steps.yml: File exists"),
        ({"--into": "{}/steps.yml/x"}, "--into: {}/steps.yml/x: Not a directory"),
        ({"--folder": "{}/nowhere"}, "--folder: {}/nowhere: No such file or directory"),
        ({"--folder": "{}/steps.yml"}, "--folder: {}/steps.yml: Not a directory"),
        ({"--steps": "{}/nowhere.yml"}, "--steps: {}/nowhere.yml: No such file or directory"),
    ],
)
def test_nothing_is_carried_out_that_could_not_be_recorded(changes, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "steps.yml").write_text(f"- {{name: x, command: touch {tmp_path}/done, pause: 0}}\n")
    told = {"--steps": "{}/steps.yml", "--into": "{}/recorded", **changes}
    options = [word.format(tmp_path) for option in told.items() for word in option]
    monkeypatch.setattr(sys, "argv", ["checking", "demo", "record", *options])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert (left.value.code, capsys.readouterr().err) == (2, f"checking: {words.format(tmp_path)}\n")
    assert not (tmp_path / "done").exists()


def test_steps_that_are_not_there_are_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_steps(tmp_path / "nothing.yml")
