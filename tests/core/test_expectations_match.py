"""Planning: which expectation speaks of which execution, what is asked for it, and what needs no asking."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import (
    Closed,
    ExecutionFacts,
    Expect,
    Hint,
    Outcome,
    Procedure,
    Reason,
    RunState,
    check_id_of,
    execution_id_of,
)
from checking_core.expectations import Expectations
from checking_core.settings import BackendSettings, HintsMode

from .planning import DUMP, OPERATION, execution, hint, loaded, planned

NOTHING = Expectations()
ELSEWHERE = "operation: elsewhere"


def expectations(folder: Path, *whens: str, more: str = "alert: {rule: r}", **options: Any) -> Expectations:
    """Expectations ``e0``, ``e1``, ... on ``splunk`` with these conditions."""
    entries = [
        f"- id: e{number}\n  when: {{{when}}}\n  backend: splunk\n  {more}\n" for number, when in enumerate(whens)
    ]
    return loaded(folder, "version: 1\nexpectations:\n" + "".join(entries), **options)


def ids(checks: Any) -> set[str | None]:
    return {check.expectation_id for check in checks}


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("ability: 0EF4CC7B-611c-4237-b20b-db36b6906554", True),
        ("ability: [other, 0ef4cc7b-611c-4237-b20b-db36b6906554]", True),
        ("ability: other", False),
        ("procedure: dump lsass.exe memory using COMSVCS.dll", True),
        ("procedure: 'dump*comsvcs.???'", True),
        ("procedure: comsvcs", False),
        ("command: 'comsvcs.*MiniDump'", True),
        ("command: '^powershell -enc'", True),
        ("command: 'minidump'", False),
        ("command: '(?i)minidump'", True),
        ("technique: T1003", True),
        ("technique: t1003.001", True),
        ("technique: T1003.002", False),
        ("technique: T1059", False),
        ("tactic: Credential Access", True),
        ("tactic: credential_access", True),
        ("tactic: execution", False),
        ("platform: Windows", True),
        ("platform: [linux, darwin]", False),
        ("host: ws01", True),
        ("host: WS01.corp.example", True),
        ("host: 'ws0?.corp.*'", True),
        ("host: ws0", False),
        ("agent: TGTBBB", True),
        ("agent: 'tgt*'", True),
        ("agent: other", False),
        ("operation: nightly*", True),
        ("operation: nightly", False),
        ("technique: T1003, platform: windows, host: ws01", True),
        ("technique: T1003, platform: linux, host: ws01", False),
    ],
)
def test_all_keys_must_hold_and_one_entry_of_a_list(tmp_path: Path, when: str, holds: bool):
    assert bool(planned(expectations(tmp_path, when))) is holds


def test_a_name_with_brackets_is_met_by_itself(tmp_path: Path):
    procedure = Procedure(name="Read [all] keys")
    assert planned(expectations(tmp_path, "procedure: 'read [all] keys'"), execution(procedure=procedure))


def test_macos_and_darwin_are_one_platform(tmp_path: Path):
    assert planned(expectations(tmp_path, "platform: macos"), execution(platform="darwin"))
    assert planned(expectations(tmp_path, "platform: darwin"), execution(platform="macOS"))


def test_a_sub_technique_is_not_met_by_its_parent(tmp_path: Path):
    parent = msgspec.structs.replace(DUMP, technique_id="T1003")
    assert not planned(expectations(tmp_path, "technique: T1003.001"), execution(procedure=parent))


@pytest.mark.parametrize(
    ("wanted", "ran", "holds"),
    [
        ("T1086", "T1059.001", True),
        ("T1059.001", "T1086", True),
        ("T1059", "T1086", True),
        ("T1086", "T1086", True),
        ("T1086", "T1059.003", False),
        ("T1000", "T1059.001", True),
        ("T2000", "T2001", True),
    ],
)
def test_renamed_techniques_are_followed_on_both_sides(tmp_path: Path, wanted: str, ran: str, holds: bool):
    renamed = {"T1000": "T1086", "T1086": "T1059.001", "T2000": "T2001", "T2001": "T2000"}
    procedure = msgspec.structs.replace(DUMP, technique_id=ran)
    found = planned(expectations(tmp_path, f"technique: {wanted}", renamed=renamed), execution(procedure=procedure))
    assert bool(found) is holds


def test_a_pattern_sees_only_the_beginning_of_a_huge_command(tmp_path: Path):
    huge = execution(command=" " * 40_000 + "needle", plaintext_command=None)
    assert not planned(expectations(tmp_path, "command: needle"), huge)


RANKS = [
    "ability: 0ef4cc7b-611c-4237-b20b-db36b6906554",
    "procedure: 'dump*'",
    "command: MiniDump",
    "technique: T1003",
    "tactic: credential-access",
    "platform: windows",
]


@pytest.mark.parametrize("rank", range(len(RANKS)))
def test_the_most_specific_expectations_win(tmp_path: Path, rank: int):
    found = planned(expectations(tmp_path, *reversed(RANKS[rank:])))
    assert ids(found) == {f"e{len(RANKS) - rank - 1}"}


def test_expectations_of_equal_rank_all_apply(tmp_path: Path):
    found = planned(expectations(tmp_path, "technique: T1003", "technique: T1003.001, host: ws01", "tactic: execution"))
    assert ids(found) == {"e0", "e1"}


def test_backends_are_decided_one_by_one(tmp_path: Path):
    text = """\
        version: 1
        expectations:
        - id: broad
          when: {technique: T1003}
          backends: [splunk, elastic]
          alert: {techniques: [T1003]}
        - id: narrow
          when: {procedure: "dump*"}
          backends: [splunk, splunk]
          alert: {rule: LSASS}
        """
    found = planned(loaded(tmp_path, text))
    assert {(check.backend, check.expectation_id) for check in found} == {("splunk", "narrow"), ("elastic", "broad")}
    assert len(found) == 2


def test_a_check_carries_what_its_expectation_says(tmp_path: Path):
    more = "alert: {rule: r}\n  expect: blocked\n  max_retries: 4\n  settle: 2m"
    [check] = planned(expectations(tmp_path, "technique: T1003", more=more))
    execution_id = execution_id_of(OPERATION.operation_id, execution().link_id)
    assert check.id == check_id_of(execution_id, "splunk", "e0")
    assert check.config == {"alert": {"rule": "r"}, "expect": "blocked", "settle": "2m"}
    assert (check.expect, check.max_retries, check.detection_type, check.closed) == (Expect.BLOCKED, 4, "api", None)
    assert (check.timing.settle, check.timing.deadline) == (120, 1200)


def test_a_backend_brings_its_type_and_its_times(tmp_path: Path):
    backend = BackendSettings.model_validate(
        {"plugin": "mock", "detection_type": "windows", "timing": {"deadline": "1h"}}
    )
    [check] = planned(expectations(tmp_path, "technique: T1003"), backends={"splunk": backend}, max_retries=2)
    assert (check.detection_type, check.timing.deadline, check.max_retries) == ("windows", 3600, 2)


def test_a_backend_that_is_not_configured_is_planned_all_the_same(tmp_path: Path):
    [check] = planned(expectations(tmp_path, "technique: T1003"), backends={})
    assert (check.backend, check.detection_type, check.closed) == ("splunk", "api", None)


# --- what is not asked -------------------------------------------------------------------------------------


def test_a_cleanup_link_has_no_checks(tmp_path: Path):
    facts = execution(cleanup=True, hints=(hint(),))
    observing = {"splunk": BackendSettings(plugin="mock", observe=True)}
    assert planned(expectations(tmp_path, "technique: T1003"), facts, backends=observing) == ()


@pytest.mark.parametrize("state", [RunState.RAN, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST])
def test_whatever_may_have_run_is_asked_for(tmp_path: Path, state: RunState):
    [check] = planned(expectations(tmp_path, "technique: T1003"), execution(run_state=state))
    assert check.closed is None


def test_what_never_ran_has_the_same_checks_closed_as_not_run(tmp_path: Path):
    known = expectations(tmp_path, "technique: T1003")
    hints = (hint(platform="elastic"), hint(platform="sysmon", detection_type="linux"), hint(problem="broken"))
    ran = planned(known, execution(hints=hints), hints=HintsMode.ALWAYS)
    never = planned(known, execution(hints=hints, run_state=RunState.NEVER_RAN), hints=HintsMode.ALWAYS)
    assert [check.id for check in never] == [check.id for check in ran]
    assert {check.closed for check in never} == {Closed(outcome=Outcome.NOT_RUN, reason=Reason.EXECUTION_SKIPPED)}


@pytest.mark.parametrize(
    ("kind", "platform", "applies"),
    [
        ("windows", "windows", True),
        ("linux", "windows", False),
        ("darwin", "windows", False),
        ("darwin", "macos", True),
        ("windows", None, True),
        ("windows", "unknown", True),
        ("api", "linux", True),
    ],
)
def test_a_check_for_another_system_is_not_applicable(kind: str, platform: str | None, applies: bool):
    facts = execution(platform=platform, hints=(hint(detection_type=kind),))
    [check] = planned(NOTHING, facts)
    expected = None if applies else Closed(outcome=Outcome.NOT_APPLICABLE, reason=Reason.OTHER_OS)
    assert check.closed == expected


# --- observing -----------------------------------------------------------------------------------------------


OBSERVING = {
    "zeek": BackendSettings(plugin="mock", observe=True),
    "elastic": BackendSettings(plugin="mock", observe=True),
    "splunk": BackendSettings(plugin="mock"),
    "linux-agent": BackendSettings(plugin="mock", observe=True, detection_type="linux"),
}


def test_what_nothing_speaks_of_is_observed_where_that_is_wanted():
    found = planned(NOTHING, backends=OBSERVING)
    assert [check.backend for check in found] == ["elastic", "zeek"]
    assert {check.expect for check in found} == {Expect.OBSERVE}
    assert all(check.config == {"expect": "observe"} and check.expectation_id is None for check in found)


def test_a_hint_that_cannot_be_asked_does_not_keep_an_execution_from_being_observed():
    found = planned(NOTHING, execution(hints=(hint(problem="broken"),)), backends=OBSERVING)
    assert [(check.backend, check.expect) for check in found if check.closed is None] == [
        ("elastic", Expect.OBSERVE),
        ("zeek", Expect.OBSERVE),
    ]
    assert len(found) == 3


def test_what_an_expectation_or_a_hint_speaks_of_is_not_observed(tmp_path: Path):
    assert ids(planned(expectations(tmp_path, "technique: T1003"), backends=OBSERVING)) == {"e0"}
    assert [check.backend for check in planned(NOTHING, execution(hints=(hint(),)), backends=OBSERVING)] == ["splunk"]


def test_what_never_ran_is_not_observed():
    assert planned(NOTHING, execution(run_state=RunState.NEVER_RAN), backends=OBSERVING) == ()


# --- nothing moves -------------------------------------------------------------------------------------------


HINTS = st.builds(
    Hint,
    detection_type=st.sampled_from([None, "api", "windows", "linux", "siem"]),
    platform=st.sampled_from([None, "splunk", "elastic", "sysmon", "not a name"]),
    config=st.sampled_from([{}, {"query": "a"}, {"query": 1}, {"alert": {"rule": "b"}}, {"rule": {"query": "a"}}]),
    max_retries=st.sampled_from([None, 0, 3]),
    problem=st.sampled_from([None, None, "broken"]),
)
EXECUTIONS = st.builds(
    execution,
    link_id=st.just(UUID(int=7)),
    platform=st.sampled_from([None, "windows", "linux"]),
    run_state=st.sampled_from(RunState),
    cleanup=st.booleans(),
    procedure=st.sampled_from([DUMP, Procedure(), Procedure(technique_id="T1059"), Procedure(name="Dump all")]),
    hints=st.lists(HINTS, max_size=4).map(tuple),
)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Expectations:
    return expectations(tmp_path_factory.mktemp("ranked"), *RANKS, "technique: T1059", "command: powershell")


@pytest.fixture(scope="module")
def unrelated(tmp_path_factory: pytest.TempPathFactory) -> Expectations:
    return expectations(tmp_path_factory.mktemp("unrelated"), f"ability: none-of-these, {ELSEWHERE}")


def by_id(expectations: Expectations, facts: ExecutionFacts, mode: HintsMode) -> dict[UUID, Any]:
    return {check.id: check for check in planned(expectations, facts, hints=mode, backends=OBSERVING)}


@given(facts=EXECUTIONS, mode=st.sampled_from(HintsMode), data=st.data())
def test_the_order_of_expectations_changes_no_check(
    ranked: Expectations, facts: ExecutionFacts, mode: HintsMode, data: st.DataObject
):
    order = data.draw(st.permutations(ranked.items))
    assert by_id(Expectations(tuple(order)), facts, mode) == by_id(ranked, facts, mode)


@given(facts=EXECUTIONS, mode=st.sampled_from(HintsMode), data=st.data())
def test_an_unrelated_expectation_moves_nothing(
    ranked: Expectations, unrelated: Expectations, facts: ExecutionFacts, mode: HintsMode, data: st.DataObject
):
    known = data.draw(st.lists(st.sampled_from(ranked.items), unique_by=lambda item: item.id))
    place = data.draw(st.integers(0, len(known)))
    more = (*known[:place], *unrelated.items, *known[place:])
    assert by_id(Expectations(more), facts, mode) == by_id(Expectations(tuple(known)), facts, mode)


@given(facts=EXECUTIONS, mode=st.sampled_from(HintsMode))
def test_every_check_can_be_stored(ranked: Expectations, facts: ExecutionFacts, mode: HintsMode):
    for check in by_id(ranked, facts, mode).values():
        assert msgspec.json.decode(msgspec.json.encode(check), type=type(check)) == check
        assert check.detection_type in {"api", "windows", "linux", "darwin"}
        assert check.closed is None or check.closed.outcome is not Outcome.PENDING
