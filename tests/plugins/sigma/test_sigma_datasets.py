"""Recorded attacks of a clone of Security-Datasets as an operation: labels, times, hosts, what is left out."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checking_core import DemoRequest
from checking_core.errors import ConfigurationError
from checking_plugin_sigma.datasets import read_datasets
from checking_plugin_sigma.demo import shown

from .rules_and_events import rule_text

LABEL = """\
title: Two hosts
id: SDWIN-1
attack_mappings:
- technique: T1003
  sub-technique: "001"
- technique: T1059
  sub-technique:
files:
- type: Network
  link: https://example.org/datasets/atomic/windows/x/network/two.zip
- type: Host
  link: https://example.org/datasets/atomic/windows/x/host/two.zip
"""
EVENTS = [
    {"UtcTime": "2020-10-18 19:50:09.100", "Hostname": "ws01", "Channel": "x", "EventID": 1},
    {"UtcTime": "2020-10-18 19:50:19.100", "Hostname": "dc01", "Channel": "x", "EventID": 1},
    {"UtcTime": "2020-10-18 19:50:15.100", "Hostname": "dc01", "Channel": "x", "EventID": 1},
]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One label, its recording packed as it is there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    metadata = tmp_path / "datasets/atomic/_metadata"
    metadata.mkdir(parents=True)
    (metadata / "SDWIN-1.yaml").write_text(LABEL)
    host = tmp_path / "datasets/atomic/windows/x/host"
    host.mkdir(parents=True)
    with zipfile.ZipFile(host / "two.zip", "w") as archive:
        archive.writestr("two.json", "".join(json.dumps(event) + "\n" for event in EVENTS))
    return tmp_path


def test_a_label_becomes_an_execution_of_each_technique_over_the_time_of_its_recording(clone: Path) -> None:
    found = read_datasets(clone)
    executions = [message["execution"] for message in found.messages]
    assert [one["ability"]["technique_id"] for one in executions] == ["T1003.001", "T1059"]
    assert {(one["agent_host"], one["collect"], one["finish"]) for one in executions} == {
        ("dc01", "2020-10-18T19:50:09.100000+00:00", "2020-10-18T19:50:19.100000+00:00")
    }
    assert {tuple(one["match"]["aliases"]) for one in found.expectations} == {("dc01", "ws01")}
    assert [file.name for file in found.files] == ["two.zip"]


def test_a_recording_that_is_absent_or_tells_no_certain_time_is_left_out_and_named(clone: Path) -> None:
    metadata = clone / "datasets/atomic/_metadata"
    for number, name in ((2, "absent"), (3, "local")):
        (metadata / f"SDWIN-{number}.yaml").write_text(LABEL.replace("SDWIN-1", f"SDWIN-{number}").replace("two", name))
    local = json.dumps({"EventTime": "2020-10-18 19:50:09", "Hostname": "ws01"}).encode()
    (clone / "datasets/atomic/windows/x/host/local.zip").write_bytes(gzip.compress(local))
    assert read_datasets(clone).left_out == ["SDWIN-2", "SDWIN-3"]
    (clone / "rule.yml").write_text(rule_text({"A": "x"}))
    request = DemoRequest(folder=clone, ended=datetime.now(UTC), datasets=clone, rules=clone / "rule.yml")
    assert "2 more cannot be read or tell no certain time" in shown(request).remark


@pytest.mark.parametrize("label", ["", "attack_mappings: []", "files:", LABEL.replace("Host", "Cloud")])
def test_a_folder_without_any_label_is_refused_in_words(label: str, tmp_path: Path) -> None:
    metadata = tmp_path / "datasets/atomic/_metadata"
    metadata.mkdir(parents=True)
    (metadata / "SDWIN-1.yaml").write_text(label)
    with pytest.raises(ConfigurationError, match="is no clone of Security-Datasets"):
        read_datasets(tmp_path)


def test_a_clone_whose_recordings_are_not_fetched_is_refused_in_words(clone: Path) -> None:
    (clone / "datasets/atomic/windows/x/host/two.zip").unlink()
    with pytest.raises(ConfigurationError, match="are its files fetched"):
        read_datasets(clone)


def test_a_label_that_is_no_yaml_is_named(clone: Path) -> None:
    (clone / "datasets/atomic/_metadata/SDWIN-1.yaml").write_text("title: [")
    with pytest.raises(ConfigurationError, match=r"SDWIN-1\.yaml cannot be read"):
        read_datasets(clone)


def test_the_option_is_named_whose_folder_is_wrong(clone: Path) -> None:
    (clone / "rule.yml").write_text(rule_text({"A": "x"}))
    told = {"datasets": clone, "rules": clone / "rule.yml"}
    for option, words in (
        ("datasets", "is no clone of Security-Datasets"),
        ("rules", "is neither a rule nor a folder"),
    ):
        request = DemoRequest(folder=clone, ended=datetime.now(UTC), **{**told, option: clone / "nowhere"})
        with pytest.raises(ConfigurationError, match=f"--{option}: .*nowhere {words}"):
            shown(request)


def test_recordings_and_rules_go_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="go together"):
        shown(DemoRequest(folder=tmp_path, ended=datetime.now(UTC), rules=tmp_path))


def test_rules_that_are_not_there_are_refused_before_anything_is_read(clone: Path) -> None:
    request = DemoRequest(folder=clone, ended=datetime.now(UTC), datasets=clone, rules=clone / "ruels")
    with pytest.raises(ConfigurationError, match="neither a rule nor a folder of rules"):
        shown(request)
