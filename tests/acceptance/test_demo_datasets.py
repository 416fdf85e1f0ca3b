"""``checking demo --datasets --rules``: public recordings of attacks, judged as four other evaluators judge them."""

from __future__ import annotations

import gzip
import json
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from .command import PATIENCE, checking, running

LINK = "https://raw.githubusercontent.com/OTRF/Security-Datasets/master"


@pytest.fixture
def clone(tmp_path: Path, shared_data: Path) -> Path:
    """The recordings where a clone of Security-Datasets has them, labelled as there."""
    for recording in _recordings(shared_data):
        place = recording["origin"].split()[1]
        archive = tmp_path / "clone" / place
        archive.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("events.json", gzip.decompress((shared_data / "sigma" / recording["dataset"]).read_bytes()))
        label = {
            "title": recording["title"],
            "id": recording["metadata_id"],
            "attack_mappings": [_mapping(technique) for technique in recording["dataset_techniques"]],
            "files": [{"type": "Host", "link": f"{LINK}/{place}"}],
        }
        metadata = tmp_path / "clone/datasets/atomic/_metadata"
        metadata.mkdir(parents=True, exist_ok=True)
        (metadata / f"{label['id']}.yaml").write_text(json.dumps(label))
    return tmp_path / "clone"


def _recordings(shared_data: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((shared_data / "sigma/expected.json").read_text())
    return found


def _mapping(technique: str) -> dict[str, str]:
    name, _, sub = technique.partition(".")
    return {"technique": name, "sub-technique": sub}


def test_a_clone_of_recorded_attacks_is_judged_as_expected(tmp_path: Path, clone: Path, shared_data: Path) -> None:
    rules = shared_data / "sigma/rules"
    database = f"sqlite:///{tmp_path / 'demo.db'}"
    done = checking(tmp_path, "demo", "--datasets", str(clone), "--rules", str(rules), "--keep", "demo.db")
    assert done.returncode == 0, done.stderr
    assert "Recorded attacks: 6 recordings" in done.stdout
    report = checking(tmp_path, "report", "latest", "--format", "json", DATABASE_URL=database).stdout
    outcomes = {line["execution"]["procedure_name"]: line["check"]["outcome"] for line in json.loads(report)["lines"]}
    detected = {one["title"]: one["verdict_exact_technique"] == "detected" for one in _recordings(shared_data)}
    assert {name: outcome == "matched" for name, outcome in outcomes.items()} == detected


def test_ctrl_c_ends_the_reading_of_recordings(
    tmp_path: Path, clone: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    recording = next(clone.rglob("*.zip"))
    recording.unlink()
    os.mkfifo(recording)
    with running(tmp_path, "demo", "--datasets", str(clone), "--rules", str(shared_data / "sigma/rules")) as process:
        with recording.open("wb"):  # until it is read
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 130
    assert list(temporary.iterdir()) == []


def test_recordings_without_rules_are_refused_in_one_line(tmp_path: Path) -> None:
    done = checking(tmp_path, "demo", "--rules", str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "checking: --datasets and --rules go together\n")
