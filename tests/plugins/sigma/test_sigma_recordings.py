"""Real recordings of attacks, and for each the complete set of hits that four other evaluators agree on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from checking_plugin_sigma.evaluate.scan import Scanner
from checking_plugin_sigma.rules.load import load_rules
from checking_plugin_sigma.rules.model import Rule

RECORDINGS = [
    "psh_lsass_memory_dump_comsvcs",
    "cmd_bitsadmin_download_psh_script",
    "cmd_mshta_vbscript_execute_psh",
    "cmd_sam_copy_esentutl",
    "psh_powershell_httplistener",
    "covenant_sharpsc_query_dcerpc_smb_svcctl",
]


@cache
def rules_in(folder: Path) -> dict[str, Rule]:
    found = load_rules(folder)
    assert not found.refused
    return {rule.source: rule for rule in found.rules}


@cache
def expected_in(folder: Path) -> dict[str, dict]:
    return {entry["dataset"]: entry for entry in json.loads((folder / "expected.json").read_text(encoding="utf-8"))}


def test_every_recording_is_tested(shared_data):
    assert {f"{name}.jsonl.gz" for name in RECORDINGS} == set(expected_in(shared_data / "sigma"))


@pytest.mark.parametrize("recording", RECORDINGS)
def test_each_rule_hits_the_lines_that_are_known_and_no_other(recording, shared_data):
    folder = shared_data / "sigma"
    rules = rules_in(folder / "rules")
    expected = expected_in(folder)[f"{recording}.jsonl.gz"]
    scanner = Scanner(list(rules.values()))
    lines: dict[str, list[int]] = {source: [] for source in rules}
    channels: dict[str, dict[str, int]] = {source: {} for source in rules}
    for hit in scanner.scan(folder / expected["dataset"]):
        lines[hit.rule.source].append(hit.event.line - 1)  # the list counts lines from zero
        channel = hit.event.text("Channel")
        channels[hit.rule.source][channel] = channels[hit.rule.source].get(channel, 0) + 1
    checked = {Path(check["rule_file"]).name: check for check in expected["checks"] if check.get("rule_file")}
    assert checked
    for source, check in checked.items():
        known = check.get("lines", [])
        assert (source, lines[source]) == (source, known)
        assert len(known) == check["expected_count"]
        if known:
            assert channels[source] == check["by_channel"]
    others = {source: found for source, found in lines.items() if found and source not in checked}
    assert others == {}
    assert (scanner.events, scanner.unreadable) == (expected["events"], {})


def test_nothing_else_of_the_folder_is_left_out(shared_data):
    found = load_rules(shared_data / "sigma" / "rules")
    assert found.given == len(list((shared_data / "sigma" / "rules").glob("*.yml")))
