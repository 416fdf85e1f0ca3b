"""Hints inside a message: when they count, and what becomes of those that cannot be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from checking_core.contracts import (
    Expect,
    Hint,
    Outcome,
    Reason,
    check_id_of,
    config_digest,
    execution_id_of,
)
from checking_core.expectations import UNASSIGNED, Expectations
from checking_core.settings import HintsMode

from .planning import OPERATION, execution, hint, loaded, planned

NOTHING = Expectations()


def test_a_hint_becomes_a_check_named_by_its_canonical_configuration():
    [check] = planned(NOTHING, execution(hints=(hint("user:root", max_retries=3),)))
    config = {"rule": {"query": "user:root"}}
    execution_id = execution_id_of(OPERATION.operation_id, execution().link_id)
    assert check.id == check_id_of(execution_id, "splunk", config_digest(config))
    assert (check.config, check.expect, check.max_retries) == (config, Expect.MATCHED, 3)
    assert (check.expectation_id, check.closed) == (None, None)


@pytest.mark.parametrize(
    ("mode", "backends"),
    [
        (HintsMode.FALLBACK, {"elastic"}),
        (HintsMode.ALWAYS, {"splunk", "elastic"}),
        (HintsMode.NEVER, set()),
    ],
)
def test_hints_count_as_the_setting_says(tmp_path: Path, mode: HintsMode, backends: set[str]):
    facts = execution(hints=(hint(), hint(platform="elastic")))
    text = """\
        version: 1
        expectations:
        - id: one
          when: {technique: T1003}
          backend: splunk
          alert: {rule: r}
        """
    found = planned(loaded(tmp_path, text), facts, hints=mode)
    assert {check.backend for check in found if check.expectation_id is None} == backends
    assert [check.expectation_id for check in found if check.expectation_id] == ["one"]


def test_a_hint_without_a_platform_takes_the_default_backend():
    [check] = planned(NOTHING, execution(hints=(hint(platform=None),)), default_backend="elastic")
    assert (check.backend, check.closed) == ("elastic", None)


def test_the_name_of_a_backend_is_read_without_case():
    [check] = planned(NOTHING, execution(hints=(hint(platform="Splunk"),)))
    assert (check.backend, check.closed) == ("splunk", None)


def test_a_backend_only_a_hint_knows_is_planned_all_the_same():
    [check] = planned(NOTHING, execution(hints=(hint(platform="qradar"),)))
    assert (check.backend, check.detection_type, check.closed) == ("qradar", "api", None)


@pytest.mark.parametrize(
    ("unusable", "backend", "note"),
    [
        (hint(platform=None), UNASSIGNED, "detection_platform: is missing; give one, or set CHECKING_DEFAULT_BACKEND"),
        (hint(platform="my siem"), UNASSIGNED, "detection_platform: is no backend's name"),
        (hint(platform="a" * 41), UNASSIGNED, "detection_platform: is no backend's name"),
        (hint(detection_type="siem"), "splunk", "detection_type: is not known; use one of api, darwin, linux, windows"),
        (hint(config={"rule": {"query": 3}}), "splunk", "rule.query: "),
        (hint(config={"deadline": "soon"}), "splunk", "deadline: "),
        (hint(problem="max_retries: is no whole number"), "splunk", "max_retries: is no whole number"),
    ],
)
def test_a_hint_that_cannot_be_asked_is_recorded_with_its_problem(unusable: Hint, backend: str, note: str):
    found = planned(NOTHING, execution(hints=(unusable, hint("good"))))
    assert [check.closed for check in found][1:] == [None]
    first = found[0]
    assert first.closed is not None
    assert (first.backend, first.closed.outcome, first.closed.reason) == (
        backend,
        Outcome.INCONCLUSIVE,
        Reason.QUERY_INVALID,
    )
    assert first.closed.note.startswith(note)


def test_equal_hints_are_one_check():
    assert len(planned(NOTHING, execution(hints=(hint(), hint(), hint("other"))))) == 2


def test_of_hints_that_differ_in_their_system_only_the_applicable_one_stands():
    hints = (hint(detection_type="linux"), hint(detection_type="windows"), hint(detection_type="darwin"))
    [check] = planned(NOTHING, execution(hints=hints))
    assert (check.detection_type, check.closed) == ("windows", None)


def test_broken_hints_are_told_one_by_one():
    found = planned(NOTHING, execution(hints=(hint(problem="a"), hint(problem="b"), hint(problem="a"))))
    assert [check.closed.note for check in found if check.closed] == ["a", "b"]
