"""The detector and a search head that is a process of its own: over a real connection, killed and started again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from tests.fakes import Fake
from tests.plugins.played import played

from checking_core import Answer, DetectionResult, Outcome, Prevention, Reason
from checking_core.contracts import EvidenceKind
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.settings import SplunkSettings

Make = Callable[..., SplunkDetector]
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
COMMAND = 'rundll32 "comsvcs.dll" MiniDump C:\\*\\`x` out.dmp'
ALERT = {"alert": {"rule": "LSASS dump"}}
SEARCH = {"telemetry": {"query": "index=main host=${agent_host} MiniDump"}}
EVENT = {
    "_time": STARTED.isoformat(),
    "_indextime": str(STARTED.timestamp() + 5),
    "host": "WS01",
    "process_id": "4242",
    "process": COMMAND,
}
RAISED = {
    "_time": (ENDED + timedelta(seconds=50)).isoformat(),
    "_indextime": str((ENDED + timedelta(seconds=51)).timestamp()),
    "event_id": "alert-1",
    "orig_time": str(STARTED.timestamp()),
    "search_name": "Endpoint - LSASS dump - Rule",
    "rule_name": "LSASS dump",
    "dest": "ws01.corp.example",
    "process_id": "4242",
    "action": "blocked",
}
FIRED = {
    "savedsearch_name": "LSASS dump",
    "sid": "scheduler__admin__search__RMD5_at_1",
    "trigger_time": int(ENDED.timestamp()) + 60,
    "severity": 4,
    "rows": [EVENT],
}


def held(**changes: Any) -> dict[str, Any]:
    return {
        "token": "key",
        "password": "s3cret",
        "saved": ["LSASS dump"],
        "indexes": {"notable": [RAISED], "main": [EVENT]},
        **changes,
    }


def silent(**changes: Any) -> dict[str, Any]:
    return held(**{"indexes": {"notable": [], "main": []}, **changes})


started, fake = played("tests.fakes.splunk:create_app", held)


@pytest.fixture
async def a_detector(fake: Fake) -> AsyncIterator[Make]:
    """Makes detectors of the search head, each with an empty memory."""
    async with AsyncExitStack() as made:

        def make(**changes: Any) -> SplunkDetector:
            told = {
                "url": fake.url,
                "token": "key",
                "index": "main",
                "prevented_when": {"action": "blocked"},
                **changes,
            }
            detector = SplunkDetector("splunk", SplunkSettings(**told), clock=KitClock())
            made.push_async_callback(detector.close)
            return detector

        yield make


async def look(detector: SplunkDetector, config: dict[str, Any], **task: Any) -> DetectionResult:
    return await run_task(detector, a_task(detection_config=config, command=COMMAND, **task), SETTINGS)


async def test_an_alert_is_found_with_what_it_tells(a_detector: Make) -> None:
    result = await look(a_detector(), {**ALERT, "prevention": True})
    assert (result.outcome, result.prevention) == (Outcome.BLOCKED, Prevention.BLOCKED)
    assert result.alert_at == ENDED + timedelta(seconds=51)


@pytest.mark.parametrize(
    "query",
    [
        "index=main host=${agent_host} process=*minidump*",
        'host="${agent_host}" MiniDump',
        "host IN ${host_names}",
        "index=main | where process=${command} | search host=${agent_host}",
        'index=main host=ws* | search "${agent_host}"',
    ],
)
async def test_each_form_of_a_query_finds_the_trace_and_not_that_of_another_host(
    a_detector: Make, fake: Fake, query: str
) -> None:
    assert (await look(a_detector(), {"telemetry": {"query": query}})).telemetry is Answer.YES
    fake.tell(held(indexes={"main": [{**EVENT, "host": "ws02"}]}))
    assert (await look(a_detector(), {"telemetry": {"query": query}})).telemetry is Answer.NO


async def test_a_hostile_command_is_compared_with_itself(a_detector: Make, fake: Fake) -> None:
    exact = {"telemetry": {"query": "index=main | where process=${command}"}}
    assert (await look(a_detector(), exact)).telemetry is Answer.YES
    fake.tell(held(indexes={"main": [{**EVENT, "process": COMMAND.replace("*", "anything")}]}))
    assert (await look(a_detector(), exact)).telemetry is Answer.NO


async def test_a_fired_alert_is_found_by_its_results(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(fired=[FIRED]))
    result = await look(a_detector(alert_source="fired"), ALERT)
    assert (result.outcome, result.alert_at) == (Outcome.ALERTED, ENDED + timedelta(seconds=60))
    fake.tell(held(fired=[{**FIRED, "rows": []}]))
    assert (await look(a_detector(alert_source="fired"), ALERT)).alert is Answer.UNKNOWN
    fake.tell(held())
    assert (await look(a_detector(alert_source="fired"), ALERT)).reason is Reason.DEADLINE_PASSED
    fake.tell(held(saved=["Another"]))
    assert (await look(a_detector(alert_source="fired"), ALERT)).reason is Reason.RULE_MISSING
    fake.tell(held(saved=[]))
    assert (await look(a_detector(alert_source="fired"), ALERT)).reason is Reason.BACKEND_AUTH_FAILED


async def test_a_peer_that_is_away_is_no_silence(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(peer_away=True))
    result = await look(a_detector(), ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_PARTIAL_ANSWER, False)


async def test_an_index_that_is_not_there_is_no_silence(a_detector: Make, fake: Fake) -> None:
    fake.tell(silent(indexes={"main": []}))
    assert (await look(a_detector(), ALERT)).reason is Reason.QUERY_INVALID
    assert (await look(a_detector(), SEARCH)).telemetry is Answer.NO


async def test_a_search_that_splunk_cannot_read_is_told(a_detector: Make, fake: Fake) -> None:
    result = await look(a_detector(), {"telemetry": {"query": "index=main AND OR"}})
    assert (result.reason, result.final) == (Reason.QUERY_INVALID, True)


async def test_a_job_is_awaited_and_no_job_is_left(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(polls=2))
    assert (await look(a_detector(), {**ALERT, **SEARCH})).outcome is Outcome.ALERTED
    jobs = fake.seen("/search/v2/jobs")
    created, deleted = ([one for one in jobs if one.method == method] for method in ("POST", "DELETE"))
    assert [one.status for one in deleted] == [200] * len(created)
    assert len(created) == 4, "two questions, and whether the index of each is there"
    assert sum(one.status == 204 for one in jobs) == 2 * len(created)


async def test_a_search_head_that_was_killed_is_away_and_then_answers(a_detector: Make, fake: Fake) -> None:
    detector = a_detector(token=None, username="checking", password="s3cret")
    assert (await look(detector, ALERT)).outcome is Outcome.ALERTED
    fake.kill()
    try:
        gone = await look(detector, {"alert": {"rule": "Another"}, **SEARCH})
    finally:
        fake.start()
    assert (gone.outcome, gone.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert (await look(detector, SEARCH)).telemetry is Answer.YES
    assert len(fake.seen("/auth/login")) == 1, "the session ended with the process that had opened it"


@pytest.mark.parametrize("wrong", [{"token": "old"}, {"token": None, "username": "checking", "password": "wrong"}])
async def test_credentials_that_are_none_are_told(a_detector: Make, wrong: dict[str, Any]) -> None:
    result = await look(a_detector(**wrong), ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_AUTH_FAILED, True)


async def test_the_self_check_tells_what_a_person_wants_to_know(a_detector: Make, fake: Fake) -> None:
    fake.tell(held(capabilities=["search", "delete_by_keyword"]))
    health = await a_detector(check_host="ws01").self_check()
    age = f"{(KitClock().now - STARTED).total_seconds() / 60:.0f}"
    assert health.ok
    assert "Splunk 10.4.2; clock " in health.detail
    assert "alerts in notable can be read; newest alert" in health.detail
    assert f"events in main can be read; newest event {age} minutes old, stored 5 s later" in health.detail
    assert f"of ws01 newest event {age} minutes old" in health.detail
    assert "may delete_by_keyword, which it does not need" in health.detail


async def test_a_host_that_never_reported_is_no_health(a_detector: Make) -> None:
    health = await a_detector(check_host="ws0").self_check()
    assert health.ok is False
    assert "of ws0 there is no event of the last 7 days" in health.detail
    unnamed = await a_detector(check_host="ws01", index=None).self_check()
    assert "of ws01 nothing is known: set INDEX" in unnamed.detail


async def test_fired_alerts_that_can_be_read_are_told(a_detector: Make, fake: Fake) -> None:
    health = await a_detector(alert_source="fired").self_check()
    assert health.ok
    assert "fired alerts can be read, of 1 saved searches" in health.detail
    fake.tell(held(saved=[]))
    assert (await a_detector(alert_source="fired").self_check()).ok is False


async def test_nothing_that_a_detector_asks_for_can_change_anything(a_detector: Make, fake: Fake) -> None:
    detector = a_detector(check_host="ws01")
    await look(detector, {**ALERT, **SEARCH})
    await detector.self_check()
    routes = {(one.method, one.path.split("/1795203601")[0]) for one in fake.seen()}
    assert {route for method, route in routes if method != "GET"} == {"/services/search/v2/jobs"}


async def test_what_a_query_of_detection_logic_hits_is_a_match(a_detector: Make) -> None:
    result = await look(a_detector(), {"rule": {"query": "index=main host=${agent_host}"}, **SEARCH})
    assert {one.kind for one in result.parsed_results.evidence} == {EvidenceKind.MATCH, EvidenceKind.EVENT}


async def test_a_sigma_rule_is_asked_of_its_source(a_detector: Make, fake: Fake) -> None:
    rule = {
        "title": "Dump of a process",
        "author": "An Author",
        "logsource": {"product": "windows", "category": "process_creation"},
        "detection": {"selection": {"process|contains": "minidump"}, "condition": "selection"},
    }
    sysmon = {**EVENT, "source": "XmlWinEventLog:Microsoft-Windows-Sysmon/Operational", "EventCode": "1"}
    assert (await look(a_detector(), {"sigma": rule})).reason is Reason.SOURCE_SILENT
    fake.tell(held(indexes={"main": [{**sysmon, "process": "whoami"}]}))
    assert (await look(a_detector(), {"sigma": rule})).rule is Answer.NO
    fake.tell(held(indexes={"main": [sysmon]}))
    result = await look(a_detector(), {"sigma": rule})
    (match,) = result.parsed_results.evidence
    assert (result.outcome, match.title) == (Outcome.MATCHED, "Dump of a process (rule by An Author)")
