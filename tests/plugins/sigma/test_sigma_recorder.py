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


@pytest.mark.parametrize("text", ["[", "- {nmae: x}", "just words"])
def test_wrong_steps_are_a_configuration_error(text, tmp_path):
    (tmp_path / "steps.yml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"steps\.yml"):
        read_steps(tmp_path / "steps.yml")


def test_steps_that_are_not_there_are_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match="No such file"):
        read_steps(tmp_path / "nothing.yml")
