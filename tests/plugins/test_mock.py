"""The mock backend replies what its scenario says, the same every time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from checking_core.contracts import (
    MAX_BODY,
    Ask,
    DetectionResult,
    EvidenceKind,
    Outcome,
    Prevention,
    Reason,
    encode,
)
from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings, WorkerSettings
from checking_core.testing import ENDED, STARTED, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_mock.detector import MockDetector
from checking_plugin_mock.settings import MockSettings

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
EVERYTHING = {
    "alert": {"rule": "LSASS dump"},
    "rule": {"query": "comsvcs"},
    "telemetry": {"query": "rundll32"},
    "alive": {"query": "*"},
    "prevention": True,
}


def mock(*scenario: dict[str, Any], **options: Any) -> MockDetector:
    return MockDetector("mock", MockSettings(scenario=scenario), **options)


async def reply(detector: MockDetector, **task: Any) -> DetectionResult:
    return await run_task(detector, a_task(**task), SETTINGS)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("blocked", Outcome.BLOCKED),
        ("alerted", Outcome.ALERTED),
        ("matched", Outcome.MATCHED),
        ("logged", Outcome.LOGGED),
        ("no_alert", Outcome.NO_ALERT),
        ("none", Outcome.NONE),
        ("silent", Outcome.INCONCLUSIVE),
        ("fatal", Outcome.INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("section", ["alert", "rule"])
async def test_each_answer_gives_its_outcome_whatever_was_asked(answer, outcome, section):
    config = {section: EVERYTHING[section], "mock": {"answer": answer}}
    result = await reply(mock(), detection_config=config)
    assert (result.outcome, result.final) == (outcome, True)


@pytest.mark.parametrize("answer", ["blocked", "alerted", "matched", "logged", "none"])
async def test_each_answer_answers_every_question(answer):
    result = await reply(mock({"answer": answer}), detection_config=EVERYTHING)
    assert result.outcome is Outcome[answer.upper()]
    assert "unknown" not in msgspec.structs.astuple(result.axes)
    assert (result.prevention is Prevention.BLOCKED) == (answer == "blocked")


async def test_reasons_tell_what_went_wrong():
    reasons = [(await reply(mock({"answer": answer}))).reason for answer in ("silent", "fatal")]
    assert reasons == [Reason.SOURCE_SILENT, Reason.BACKEND_AUTH_FAILED]


async def test_the_first_scene_that_fits_replies():
    detector = mock(
        {"technique": "T1082", "answer": "logged"},
        {"host": "WS02", "answer": "logged"},
        {"command": "comsvcs.*MiniDump", "host": "ws01", "answer": "alerted"},
        {"answer": "blocked"},
    )
    assert (await reply(detector)).outcome is Outcome.ALERTED
    assert (await reply(detector, command="whoami")).outcome is Outcome.BLOCKED
    encoded = await reply(detector, command="powershell -enc AAAA", plaintext_command="comsvcs.dll MiniDump")
    assert encoded.outcome is Outcome.ALERTED


async def test_where_no_scene_fits_there_is_nothing_to_find():
    assert (await reply(mock({"host": "dc01", "answer": "alerted"}))).outcome is Outcome.NONE


async def test_a_checks_own_reply_comes_first():
    config = {"alert": {}, "mock": {"answer": "logged"}}
    result = await reply(mock({"answer": "alerted"}), detection_config=config)
    assert result.outcome is Outcome.LOGGED
    assert "warnings" not in result.result_metadata


async def test_late_by_looks():
    detector = mock({"answer": "alerted", "after_looks": 2})
    results = [await reply(detector, look=look, deadline_passed=False) for look in (1, 2, 3)]
    assert [result.final for result in results] == [False, False, True]
    assert results[2].outcome is Outcome.ALERTED


@pytest.mark.parametrize(("waited", "outcome"), [(299, Outcome.NONE), (300, Outcome.ALERTED)])
async def test_late_by_seconds_from_the_end_of_the_step(waited, outcome):
    detector = mock({"answer": "alerted", "after_seconds": 300}, clock=lambda: ENDED + timedelta(seconds=waited))
    assert (await reply(detector)).outcome is outcome


async def test_a_short_outage_is_over_after_as_many_attempts_as_it_says():
    detector = mock({"answer": "alerted", "errors": 2})
    away = await reply(detector, max_retries=0)
    back = await reply(detector, max_retries=1, look=2)
    assert (away.reason, away.final) == (Reason.BACKEND_UNREACHABLE, False)
    assert (back.outcome, back.retry_count) == (Outcome.ALERTED, 1)


async def test_a_backend_that_hangs_runs_into_the_time_out():
    timing = msgspec.structs.replace(a_task().timing, timeout=0.01)
    result = await reply(mock({"answer": "hang"}), timing=timing, max_retries=0)
    assert result.reason is Reason.BACKEND_UNREACHABLE


async def test_a_partial_answer_proves_hits_only():
    missed = await reply(mock({"answer": "none", "partial": True}))
    found = await reply(mock({"answer": "alerted", "partial": True}))
    assert (missed.outcome, missed.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    assert found.outcome is Outcome.ALERTED


async def test_a_huge_answer_is_capped():
    result = await reply(mock({"answer": "alerted", "padding": 5_000_000}))
    assert result.raw_response["truncated"]
    assert len(encode(result)) < MAX_BODY


async def test_evidence_comes_from_the_task_and_is_the_same_every_time():
    first, second = [(await reply(mock({"answer": "matched"}))) for _ in range(2)]
    evidence = first.parsed_results.evidence
    assert evidence == second.parsed_results.evidence
    assert {record.kind for record in evidence} == {EvidenceKind.MATCH, EvidenceKind.EVENT}
    for record in evidence:
        assert str(a_task().detection_execution_id) in record.id
        assert "comsvcs.dll" in record.title
        assert (record.host, record.event_at) == ("ws01", STARTED)


async def test_near_misses_are_those_of_the_scene_and_give_a_miss_its_reason():
    near = [
        {"reason": "alert_other_host", "title": "LSASS dump", "host": "ws02"},
        {"reason": "alert_outside_window", "after_seconds": -60},
    ]
    results = [await reply(mock({"answer": "no_alert", "near_misses": near})) for _ in range(2)]
    first, second = results[0].parsed_results.near_misses
    assert (first.reason, first.title, first.host, first.event_at) == (
        "alert_other_host",
        "LSASS dump",
        "ws02",
        STARTED,
    )
    assert (second.host, second.event_at) == ("ws01", STARTED - timedelta(seconds=60))
    assert results[0].parsed_results.near_miss_counts == {"alert_other_host": 1, "alert_outside_window": 1}
    assert results[0].reason is Reason.ALERT_OTHER_HOST
    assert results[0].parsed_results == results[1].parsed_results


async def test_an_alert_is_created_when_it_becomes_visible():
    detector = mock({"answer": "alerted", "after_seconds": 30})
    assert (await reply(detector)).alert_at == ENDED + timedelta(seconds=30)
    assert (await reply(mock({"answer": "matched"}))).alert_at is None


def test_it_can_answer_every_question():
    assert MockDetector.answers == set(Ask)


def test_the_scenario_of_the_readme_is_read_from_the_file_that_the_environment_names(monkeypatch, tmp_path):
    readme = Path(__file__).parents[2] / "plugins" / "mock" / "README.md"
    scenario = readme.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "scenario.yml").write_text(scenario, encoding="utf-8")
    monkeypatch.setenv("CHECKING_MOCK_SCENARIO", str(tmp_path / "scenario.yml"))
    detector = PluginHost.load().create("mock", BackendSettings(plugin="mock"))
    assert isinstance(detector.settings, MockSettings)
    assert [scene.answer for scene in detector.settings.scenario] == [
        scene["answer"] for scene in yaml.safe_load(scenario)
    ]


@pytest.mark.parametrize(
    ("scenario", "problem"),
    [
        ("- answer: perhaps", "answer"),
        ("- comand: typo", "comand"),
        ("- command: '('", "command"),
        ("answer: alerted", "scenario"),
        ("[", "while parsing"),
        (None, "No such file"),
    ],
)
def test_a_wrong_scenario_is_a_configuration_error(monkeypatch, tmp_path, scenario, problem):
    path = tmp_path / "scenario.yml"
    if scenario is not None:
        path.write_text(scenario)
    monkeypatch.setenv("CHECKING_MOCK_SCENARIO", str(path))
    with pytest.raises(ConfigurationError, match=f"(?i){problem}"):
        PluginHost.load().create("mock", BackendSettings(plugin="mock"))
