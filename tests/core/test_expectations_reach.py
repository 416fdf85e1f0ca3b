"""Which executions of an operation the expectations speak of: of none, or of more than their authors mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from checking_core.contracts import Procedure
from checking_core.expectations import LintCode, reach

from .planning import DUMP, OPERATION, execution, loaded

NAMED = "alert: {rule: LSASS dump}"


def said(folder: Path, when: str, asked: str = NAMED, *, procedures: int = 6, cleanup: bool = False) -> list[str]:
    """What is told of one expectation about so many different executions on one host."""
    text = f"version: 1\nexpectations:\n- {{id: one, when: {{{when}}}, backend: splunk, {asked}}}\n"
    ran = [execution(procedure=Procedure(name=f"Step {n}"), cleanup=cleanup) for n in range(procedures)]
    return list(map(str, reach(loaded(folder, text), [(facts, OPERATION) for facts in ran])))


def test_an_expectation_that_speaks_of_no_execution_is_told(tmp_path: Path):
    [line] = said(tmp_path, "procedure: Stpe*")
    assert line == (
        f"{tmp_path}/expectations.yml:3: matches-nothing one: speaks of no execution of this operation; "
        "correct its when, unless it is for another operation"
    )


def test_one_detection_that_is_expected_of_most_of_an_operation_is_told(tmp_path: Path):
    [line] = said(tmp_path, "platform: windows")
    assert "matches-too-much one: expects one detection of 6 of 6 different procedures; narrow its when" in line


@pytest.mark.parametrize(
    "asked", ["alert: {rule_id: x}", "alert: {query: x}", "rule: {query: x}", "sigma: x.yml", "telemetry: {query: x}"]
)
def test_every_way_to_name_one_detection_counts(tmp_path: Path, asked: str):
    assert len(said(tmp_path, "platform: windows", asked)) == 1


@pytest.mark.parametrize(
    "asked", ["expect: observe", "alert: {techniques: [T1003]}", "expect: silent, alert: {rule: r}", "prevention: true"]
)
def test_what_may_hold_for_many_is_not_told(tmp_path: Path, asked: str):
    assert said(tmp_path, "platform: windows", asked) == []


def test_few_procedures_or_a_small_part_of_them_are_not_told(tmp_path: Path):
    assert said(tmp_path, "platform: windows", procedures=4) == []
    assert said(tmp_path, "procedure: 'Step [0-5]'", procedures=6) != []
    assert said(tmp_path, "procedure: 'Step ?'", procedures=40) == []


def test_many_runs_of_one_procedure_are_not_many(tmp_path: Path):
    found = loaded(
        tmp_path, f"version: 1\nexpectations:\n- {{id: a, when: {{platform: windows}}, backend: b, {NAMED}}}\n"
    )
    assert reach(found, [(execution(procedure=DUMP), OPERATION)] * 50) == []


def test_cleanups_and_an_empty_operation_tell_nothing(tmp_path: Path):
    assert said(tmp_path, "procedure: Stpe*", procedures=0) == []
    assert said(tmp_path, "procedure: Stpe*", cleanup=True) == []


def test_what_is_told_is_in_the_order_of_the_files(tmp_path: Path):
    entries = "".join(f"- {{id: e{n}, when: {{procedure: nope}}, backend: b, {NAMED}}}\n" for n in range(3))
    found = reach(loaded(tmp_path, f"version: 1\nexpectations:\n{entries}"), [(execution(), OPERATION)])
    assert [(message.line, message.code) for message in found] == [(n, LintCode.MATCHES_NOTHING) for n in (3, 4, 5)]
