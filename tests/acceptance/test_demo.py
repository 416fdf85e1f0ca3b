"""``checking demo`` as a process: every outcome for its reason, on nothing, leaving nothing, steering no terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

import pytest

from checking_core.contracts import Outcome

from .command import PATIENCE, checking, running

pytestmark = pytest.mark.xdist_group("demo")  # one worker, so that the demos run once

HEADLINES = sorted(set(Outcome) - {Outcome.PENDING})


class Demo(NamedTuple):
    folder: Path
    code: int
    told: str
    errors: str


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the demo that keeps nothing and the one that does are called, and their temporary folder."""
    return {name: tmp_path_factory.mktemp(name) for name in ("plain", "kept", "temporary")}


@pytest.fixture(scope="module")
def demos(folders: dict[str, Path]) -> dict[str, Demo]:
    """Both at a time: most of a demo is waiting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folders["temporary"]))
        with (
            running(folders["plain"], "demo") as plain,
            running(folders["kept"], "demo", "--keep", "demo.db") as kept,
        ):
            return {name: _ended(process, folders[name]) for name, process in (("plain", plain), ("kept", kept))}


def _ended(process: Popen[str], folder: Path) -> Demo:
    told, errors = process.communicate(timeout=PATIENCE)
    return Demo(folder, process.returncode, told, errors)


@pytest.mark.parametrize("name", ["plain", "kept"])
def test_the_demo_shows_every_headline_outcome(demos: dict[str, Demo], name: str) -> None:
    demo = demos[name]
    assert demo.code == 0, demo.errors
    assert demo.errors == ""
    summaries = [line for line in demo.told.splitlines() if line.startswith(("9 executions", "11 executions"))]
    counts = {outcome for summary in summaries for outcome in re.findall(r"\d+ (\w+)", summary)}
    assert len(summaries) == 2
    assert [outcome for outcome in HEADLINES if outcome not in counts] == []
    assert "pending" not in counts
    assert "Next:" in demo.told


def test_the_demo_explains_a_miss_and_what_came_near(demos: dict[str, Demo]) -> None:
    told = demos["plain"].told
    _, _, played = told.partition("Played by two mock backends")
    _, _, explained = played.partition("One verdict explained: checking explain ")
    for words in ("no_alert (alert_other_host)", "Near misses (2)", "dc02.corp.example", "90 min before it began"):
        assert words in explained, words
    assert "What would change it\n" in explained


def test_the_recorded_operation_is_judged_by_rules_over_what_it_left(demos: dict[str, Demo]) -> None:
    recorded, _, _ = demos["plain"].told.partition("Played by two mock backends")
    assert recorded.startswith("Really carried out at 2026-11-21 01:52 UTC; operation and telemetry are both replayed")
    assert "9 checks: 6 matched, 1 logged, 1 none, 1 inconclusive; 6 met, 2 NOT met, 1 unknown." in recorded
    for words in ("in_control_window", "accounts @ sigma: logged", "tied to it by host and process", "earlier:"):
        assert words in recorded, words


def test_without_the_plugin_of_the_recording_the_demo_says_what_to_install(tmp_path: Path) -> None:
    broken = tmp_path / "plugins"
    broken.mkdir()
    (broken / "checking_plugin_sigma.py").write_text("raise ImportError")  # found before the one that is installed
    done = checking(tmp_path, "demo", plugins=broken)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("An operation that was really carried out is shown as well with: pip install ")
    assert "11 executions" in done.stdout
    refused = checking(tmp_path, "demo", "--datasets", ".", "--rules", ".", plugins=broken)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "need a plugin that evaluates rules: pip install checking-plugin-sigma" in refused.stderr


def test_a_kept_demo_explains_its_other_steps(demos: dict[str, Demo]) -> None:
    done = checking(demos["kept"].folder, "explain", "latest", "2", DATABASE_URL="sqlite:///demo.db")
    assert done.returncode == 0, done.stderr
    assert "alerted (matched_alert); wanted alerted, met" in done.stdout
    assert "time to detect: " in done.stdout


def test_the_demo_leaves_nothing_behind(demos: dict[str, Demo], folders: dict[str, Path]) -> None:
    assert demos["plain"].code == 0
    assert list(folders["plain"].iterdir()) == []
    assert list(folders["temporary"].iterdir()) == []


def test_a_kept_demo_is_one_database_that_the_report_reads(demos: dict[str, Demo]) -> None:
    demo = demos["kept"]
    assert {file.name for file in demo.folder.iterdir()} <= {"demo.db", "demo.db.flow"}
    assert "CHECKING_DATABASE_URL=sqlite:///demo.db checking report latest" in demo.told
    done = checking(demo.folder, "report", "latest", "--format", "json", DATABASE_URL="sqlite:///demo.db")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["summary"]["executions"], report["summary"]["open"]) == (11, 0)
    assert report["summary"]["by_outcome"]["alerted"] == 2
    hostile = report["lines"][-1]["execution"]["command"]
    assert "\x1b[31m" in hostile
    assert "\u202e" in hostile


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_hostile_text_reaches_no_terminal_as_it_is(demos: dict[str, Demo], form: str) -> None:
    demo = demos["kept"]
    done = checking(demo.folder, "report", "latest", "--format", form, DATABASE_URL="sqlite:///demo.db")
    for told in (demo.told, done.stdout):
        assert "Write a note that bites" in told
        assert {one for one in told if not one.isprintable()} <= {"\n", "\r"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--keep", "."), "--keep: .: Is a directory"),
        (("--keep", "notes.txt/demo.db"), "--keep: notes.txt/demo.db: File exists"),
        (("--keep", "notes.txt"), "--keep: notes.txt: is a file of another kind; name a new one"),
        (("--datasets", ".", "--rules", "nowhere"), "--rules: nowhere is neither a rule nor a folder of rules"),
    ],
)
def test_a_wrong_option_of_the_demo_is_named(words: tuple[str, ...], problem: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not to be lost")
    done = checking(tmp_path, "demo", *words)
    assert (done.returncode, done.stderr.strip()) == (2, f"checking: {problem}")
    assert (tmp_path / "notes.txt").read_text() == "not to be lost"
