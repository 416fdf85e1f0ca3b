"""``checking-worker``: how it is called, and how it ends when it cannot begin."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import structlog
from tests.throw_away import install_plugin

from checking_core.plugin import Health
from checking_core.settings import WorkerSettings
from checking_core.worker.cli import main

Output = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder, none of our variables, and the logging of the process as it was afterwards."""
    for name in os.environ:
        if name.startswith(("CHECKING_", "RABBITMQ_")) and not name.startswith("CHECKING_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def nobody() -> Iterator[str]:
    """The URL of a broker that is away: its port is taken, and nothing listens there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"amqp://worker:s3cret@127.0.0.1:{taken.getsockname()[1]}/"


def refused(*words: str) -> int:
    """How a call ends that does not get as far as its verb."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert isinstance(left.value.code, int)
    return left.value.code


# --- the call ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        "",
        "serve",
        "run --concurrency 0",
        "run --concurrency many",
        "run --drain -1",
        "run --drain nan",
        "run --watchdog inf",
        "run --backend",
        "run one",
        "check --concurrency 2",
    ],
)
def test_a_call_that_makes_no_sense_is_code_2(call: str, capsys: Output):
    assert refused(*call.split()) == 2
    assert capsys.readouterr().err.startswith("usage: checking-worker")


@pytest.mark.parametrize("call", ["--help", "run --help", "check --help"])
def test_help_is_code_0(call: str, capsys: Output):
    assert refused(*call.split()) == 0
    assert capsys.readouterr().out.startswith("usage: checking-worker")


def test_the_version_is_that_of_core(capsys: Output):
    assert refused("--version") == 0
    assert capsys.readouterr().out == f"{version('checking-core')}\n"


def test_help_loads_no_more_than_it_needs():
    code = "import sys; from checking_core.worker import cli; cli._parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "checking_core.worker.cli" in loaded
    assert not loaded & {"pydantic", "structlog", "msgspec", "pluggy", "asyncio", "aiormq", "sqlalchemy"}


def test_the_help_tells_the_default_of_the_setting(capsys: Output):
    refused("run", "--help")
    assert f"(default: {WorkerSettings.model_fields['concurrency'].default})" in capsys.readouterr().out


def test_the_page_of_the_command_knows_every_option(capsys: Output):
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8").partition("## checking-worker run")[2]
    refused("run", "--help")
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out)) - {"--help"}
    assert options == set(re.findall(r"`(--[a-z]+)`", page.partition("\n## ")[0]))


# --- run -----------------------------------------------------------------------------------------------------


def test_without_a_broker_there_is_one_line_with_the_variable(capsys: Output):
    assert main(["run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("checking-worker: no broker is set")
    assert "CHECKING_AMQP_URL" in line


def test_the_password_of_the_workers_own_user_is_the_one_that_is_needed(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RABBITMQ_HOST", "broker.example")
    monkeypatch.setenv("RABBITMQ_ADMIN_PASS", "of somebody else")
    assert main(["run"]) == 2
    assert "RABBITMQ_WORKER_PASS: is not set" in capsys.readouterr().err


def test_a_broker_that_is_away_is_code_3(nobody: str, capsys: Output, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_AMQP_URL", nobody)
    assert main(["run"]) == 3
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert line.startswith("checking-worker: no broker listens at 127.0.0.1:")
    assert "s3cret" not in told.out + told.err


@pytest.mark.parametrize("verb", ["run", "check"])
def test_an_unknown_backend_names_the_nearest(verb: str, nobody: str, capsys: Output, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CHECKING_AMQP_URL", nobody)
    assert main([verb, "--backend", "mokc"]) == 2
    assert capsys.readouterr().err == "checking-worker: no backend is called 'mokc'; did you mean mock?\n"


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"siem": {"plugin": "splnk"}}, "backend siem: no plugin splnk is installed; installed: "),
        ({"siem": {"plugin": "mock", "detection_type": "linux"}}, "backend siem: mock answers api"),
        (
            {"siem": {"plugin": "mock", "env_prefix": "SIEM_"}},
            "backend siem: plugin mock cannot be created: FileNotFoundError",
        ),
    ],
)
def test_a_backend_that_cannot_be_served_is_code_2(
    told: dict[str, object], problem: str, nobody: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHECKING_AMQP_URL", nobody)
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps(told))
    monkeypatch.setenv("SIEM_SCENARIO", "nowhere.yml")
    assert main(["run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line


def test_a_backend_that_is_not_chosen_needs_no_plugin_here(
    nobody: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHECKING_AMQP_URL", nobody)
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps({"siem": {"plugin": "splnk"}, "lab": {"plugin": "mock"}}))
    assert main(["run", "--backend", "lab"]) == 3
    assert main(["run", "--backend", "lab", "--backend", "siem"]) == 2
    assert "no plugin splnk is installed" in capsys.readouterr().err


# --- check ---------------------------------------------------------------------------------------------------

CHECKED = """
from checking_core import Ask, BaseWorker, Health, hookimpl
class Checked(BaseWorker):
    platform = "checked"
    answers = frozenset(Ask)
    async def detect(self, task):
        raise NotImplementedError
    async def self_check(self):
        return {health}
@hookimpl
def checking_detectors():
    return [Checked]
"""


ONLY_MOCK = {"mock": {"plugin": "mock"}}
"""Other plugins may be installed."""


@pytest.mark.parametrize(
    ("health", "words", "code"),
    [
        (Health(ok=True, detail="version 9"), "healthy: version 9", 0),
        (Health(ok=False, detail="wrong password"), "NOT healthy: wrong password", 1),
        (Health(ok=None, detail="\x1b[31mwho knows"), "health unknown: ␛[31mwho knows", 0),
    ],
)
def test_each_backend_says_whether_it_can_be_reached(
    health: Health, words: str, code: int, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    install_plugin(tmp_path, "checked", CHECKED.format(health=health))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps({"checked": {"plugin": "checked"}, **ONLY_MOCK}))
    assert main(["check"]) == code
    assert capsys.readouterr().out.splitlines() == [f"checked: {words}", "mock: health unknown: has no self-check"]
    assert main(["check", "--backend", "mock"]) == 0


def test_a_backend_that_cannot_be_created_is_told_and_the_others_are_checked_too(
    capsys: Output, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps({"siem": {"plugin": "splnk"}, "lab": {"plugin": "mock"}}))
    assert main(["check"]) == 1
    siem, lab = capsys.readouterr().out.splitlines()
    assert siem.startswith("siem: NOT healthy: backend siem: no plugin splnk is installed")
    assert lab.startswith("lab: health unknown")


def test_a_broken_plugin_is_logged_and_harms_no_other(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch):
    install_plugin(tmp_path, "broken", "raise ImportError('libmissing')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps(ONLY_MOCK))
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert told.out == "mock: health unknown: has no self-check\n"
    assert "plugin_broken" in told.err
    assert "libmissing" in told.err
