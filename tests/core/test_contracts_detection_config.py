"""``detection_config``: durations, the canonical form, what is asked and wanted, and whose times win."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from checking_core.contracts import (
    Ask,
    DetectionConfig,
    Expect,
    Timing,
    TimingOverride,
    canonical_config,
    config_digest,
    config_problem,
    timing_of,
)
from checking_core.contracts.detection_config import (
    ALERT_TIMING,
    TELEMETRY_TIMING,
    AlertQuestion,
    RanIf,
    SearchQuestion,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CONFIGS = st.dictionaries(
    st.sampled_from(["query", "command", "query_language", "rule", "jitter", "endpoint"]), JSON, max_size=5
)

# --- durations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(0, 0), (90, 90), (1.5, 1.5), ("90", 90), ("90s", 90), ("15m", 900), (" 15 M ", 900), ("1.5h", 5400),
     ("2d", 172_800), ("30d", 2_592_000), ("auto", None), ("Auto", None), (None, None)],
)  # fmt: skip
def test_a_span_is_seconds_or_a_number_with_a_unit(written: Any, seconds: float | None):
    assert DetectionConfig.model_validate({"settle": written}).settle == seconds


@pytest.mark.parametrize(
    "written", [-1, "-1", "15 minutes", "", "m", True, [], {}, "31d", float("nan"), float("inf"), "9" * 400]
)
def test_a_span_that_is_none_is_refused(written: Any):
    problem = config_problem({"settle": written})
    assert problem is not None
    assert problem.startswith("settle: ")


@pytest.mark.parametrize("key", ["timeout", "poll_interval"])
def test_an_attempt_and_a_pause_need_time(key: str):
    assert config_problem({key: 0}) == f"{key}: Input should be greater than 0"
    assert config_problem({key: "auto"}) is None


def test_the_original_jitter_is_the_time_to_settle():
    assert DetectionConfig.model_validate({"jitter": "2m"}).settle == 120


# --- the canonical form --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ({"query": "index=main"}, {"rule": {"query": "index=main"}}),
        ({"command": "Get-EventLog"}, {"rule": {"query": "Get-EventLog"}}),
        ({"query": "q", "command": "c"}, {"rule": {"query": "q"}}),
        ({"query": "q", "query_language": "spl", "delay": 2}, {"rule": {"query": "q", "language": "spl"}, "delay": 2}),
        ({"query": None, "command": "c"}, {"rule": {"query": "c"}}),
        ({"query": "q", "rule": {"query": "r"}}, {"query": "q", "rule": {"query": "r"}}),
        ({"alert": {"rule": "r"}}, {"alert": {"rule": "r"}}),
        ({}, {}),
    ],
)
def test_a_bare_query_or_command_is_detection_logic(written: dict[str, Any], canonical: dict[str, Any]):
    assert canonical_config(written) == canonical


@given(CONFIGS)
def test_the_canonical_form_is_its_own(config: dict[str, Any]):
    once = canonical_config(config)
    assert canonical_config(once) == once


@pytest.mark.parametrize(
    "config", [{"query": ""}, {"query": "  "}, {"rule": {"query": ""}}, {"alert": {"rule": ""}}, {"sigma": ""}]
)
def test_an_empty_question_is_a_problem_and_does_not_ask_for_everything(config: dict[str, Any]):
    assert config_problem(canonical_config(config)) is not None


@given(JSON.filter(lambda value: isinstance(value, dict)), st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_keys(config: dict[str, Any], random: Any):
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            items = [(key, shuffled(item)) for key, item in value.items()]
            random.shuffle(items)
            return dict(items)
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    assert config_digest(shuffled(config)) == config_digest(config)


def test_the_digest_tells_different_questions_apart():
    questions: list[dict[str, Any]] = [
        {},
        {"a": 1},
        {"a": "1"},
        {"a": [1]},
        {"a": [1, 2]},
        {"a": [2, 1]},
        {"a": {"b": 1}},
    ]
    assert len({config_digest(question) for question in questions}) == len(questions)


@given(CONFIGS)
def test_every_problem_names_its_field(config: dict[str, Any]):
    problem = config_problem(canonical_config(config))
    assert problem is None or problem.partition(": ")[0].partition(".")[0] in DetectionConfig.model_fields | {
        "jitter": 0
    }


def test_a_problem_does_not_repeat_what_was_written():
    problem = config_problem({"expect": "<script>"})
    assert problem is not None
    assert "script" not in problem


# --- asked and wanted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "asks", "wanted"),
    [
        ({}, {Ask.ALERT}, Expect.OBSERVE),
        ({"alert": {}}, {Ask.ALERT}, Expect.ALERTED),
        ({"rule": {"query": "q"}}, {Ask.RULE}, Expect.MATCHED),
        ({"sigma": "rule.yml"}, {Ask.RULE}, Expect.MATCHED),
        ({"sigma": {"title": "t"}}, {Ask.RULE}, Expect.MATCHED),
        ({"telemetry": {"query": "q"}}, {Ask.TELEMETRY}, Expect.LOGGED),
        ({"alive": {"query": "q"}}, {Ask.ALIVE}, Expect.OBSERVE),
        ({"alert": {}, "telemetry": {"query": "q"}, "alive": {"query": "q"}},
         {Ask.ALERT, Ask.TELEMETRY, Ask.ALIVE}, Expect.ALERTED),
        ({"rule": {"query": "q"}, "telemetry": {"query": "q"}}, {Ask.RULE, Ask.TELEMETRY}, Expect.MATCHED),
        ({"alert": {}, "prevention": True}, {Ask.ALERT, Ask.PREVENTION}, Expect.ALERTED),
        ({"alert": {}, "expect": "blocked"}, {Ask.ALERT, Ask.PREVENTION}, Expect.BLOCKED),
        ({"rule": {"query": "q"}, "expect": "silent"}, {Ask.RULE}, Expect.SILENT),
    ],
)  # fmt: skip
def test_the_sections_say_what_is_asked_and_the_strongest_what_is_wanted(
    config: dict[str, Any], asks: set[Ask], wanted: Expect
):
    read = DetectionConfig.model_validate(config)
    assert (read.asks, read.wanted) == (asks, wanted)


# --- whose times win -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "times"),
    [
        ({}, ALERT_TIMING),
        ({"alert": {}, "telemetry": {"query": "q"}}, ALERT_TIMING),
        ({"rule": {"query": "q"}, "prevention": True}, ALERT_TIMING),
        ({"rule": {"query": "q"}}, TELEMETRY_TIMING),
        ({"telemetry": {"query": "q"}}, TELEMETRY_TIMING),
    ],
)
def test_the_kind_of_question_gives_the_default_times(config: dict[str, Any], times: Timing):
    assert timing_of(DetectionConfig.model_validate(config)) == times


def test_a_check_knows_its_times_better_than_its_backend_and_that_better_than_core():
    backend = TimingOverride(before=1, after=2, settle=3)
    config = DetectionConfig.model_validate({"alert": {}, "before_reported_time": "2m", "settle": 0, "timeout": 5})
    times = timing_of(config, backend)
    assert (times.before, times.after, times.settle, times.timeout) == (120, 2, 0, 5)
    assert (times.deadline, times.delay, times.poll_interval) == (1200, 3, 15)


def test_no_deadline_passes_before_the_first_look():
    assert timing_of(DetectionConfig(settle=5000, deadline=10)).deadline == 5000


def test_a_backend_with_an_unknown_time_is_refused():
    with pytest.raises(ValueError, match="befor"):
        TimingOverride.model_validate({"befor": 1})


def test_the_schema_for_editors_accepts_what_the_model_accepts():
    import jsonschema

    schema = DetectionConfig.model_json_schema()
    for config in (
        {"settle": "15m"},
        {"timeout": 5, "sigma": "a.yml"},
        {"sigma": {"title": "x"}},
        {"alert": {"rule": "r"}},
    ):
        jsonschema.validate(config, schema)
        assert config_problem(config) is None
    assert json.dumps(schema)


# --- the document --------------------------------------------------------------------------------------------

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "detection-config.md"


def documented() -> dict[str, str]:
    """Rows of the document's tables by their key; of a key in two tables both."""
    found: dict[str, str] = {}
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"\| `(\w+)`", line):
            found[match[1]] = found.get(match[1], "") + line
    return found


@pytest.mark.parametrize("model", [DetectionConfig, AlertQuestion, SearchQuestion])
def test_every_key_is_documented_with_its_default(model: type[BaseModel]):
    rows = documented()
    for key, field in model.model_fields.items():
        assert key in rows, f"{key} is missing in {DOCUMENT.name}"
        if field.default not in (None, PydanticUndefined):
            assert f"`{json.dumps(field.default)}`" in rows[key]


@pytest.mark.parametrize("key", RanIf.model_fields)
def test_the_keys_of_ran_if_are_documented(key: str):
    assert f"`{key}`" in documented()["ran_if"]


def test_the_default_times_are_documented():
    rows = documented()
    keys = {"before": "before_reported_time", "after": "after_reported_time"}
    for time in Timing.__struct_fields__:
        alert, telemetry = getattr(ALERT_TIMING, time), getattr(TELEMETRY_TIMING, time)
        assert f"| {alert:g} s | {telemetry:g} s |" in rows[keys.get(time, time)]
    for time in TimingOverride.model_fields:
        assert time in rows or f"(`{time}`)" in rows[keys[time]]


def test_nothing_is_documented_that_no_model_knows():
    assert documented().keys() <= {
        key for model in (DetectionConfig, AlertQuestion, SearchQuestion) for key in model.model_fields
    }
