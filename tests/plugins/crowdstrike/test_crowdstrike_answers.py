"""What Falcon answers, recorded or specified, and what a look makes of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from checking_core import Answer, DetectionResult, Outcome, Prevention, Reason
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_crowdstrike.answers import page_of
from checking_plugin_crowdstrike.detector import CrowdStrikeDetector

from .crowdstrike_stage import TRACE, CrowdStrikeStage, failure, page, token

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
ALERT = {"alert": {"rule": "LSASS dump"}}
ALIVE = {"alive": {"query": "hostname:${agent_host}"}}


class Falcon(CrowdStrikeStage):
    """Answers with what it is told to, one after the other, the last again and again; else with its rows."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__(router)
        self.answers: list[httpx.Response] = []
        self.tokens: list[httpx.Response] = [token("first")]

    def let_in(self, _: httpx.Request) -> httpx.Response:
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]

    def found(self, request: httpx.Request) -> httpx.Response:
        if not self.answers:
            return super().found(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def says(self, *answers: httpx.Response | dict[str, Any]) -> None:
        self.answers = [one if isinstance(one, httpx.Response) else httpx.Response(200, json=one) for one in answers]

    async def look(
        self, config: dict[str, Any], detector: CrowdStrikeDetector | None = None, **task: Any
    ) -> DetectionResult:
        asked = detector or self.detector(clock=KitClock())
        try:
            return await run_task(asked, a_task(detection_config=config, max_retries=0, **task), SETTINGS)
        finally:
            if detector is None:
                await asked.close()


@pytest.fixture
def falcon() -> Iterator[Falcon]:
    with respx.mock(assert_all_called=False) as router:
        yield Falcon(router)


def recorded(shared_data: Path, name: str) -> httpx.Response:
    told = json.loads((shared_data / "backends" / "crowdstrike" / f"{name}.json").read_text())
    return httpx.Response(told["status"], json=told["body"], headers=told.get("headers"))


def an_alert(**changes: Any) -> dict[str, Any]:
    alert = {
        "composite_id": "alert-1",
        "name": "LSASS dump",
        "device": {"hostname": "WS01"},
        "local_process_id": "4242",
        "timestamp": STARTED.isoformat(),
        "created_timestamp": ENDED.isoformat(),
    }
    return alert | changes


def a_host(**changes: Any) -> dict[str, Any]:
    host = {"device_id": "d1", "hostname": "WS01", "first_seen": "2020-01-01T00:00:00Z", "last_seen": ENDED.isoformat()}
    return host | changes


def messages_of(result: DetectionResult) -> str:
    return json.dumps(result.result_metadata)


def test_recorded_alerts_are_read(shared_data: Path) -> None:
    found = page_of(recorded(shared_data, "alerts_entities_v2_sekoia_200").json(), "after")
    assert [row["type"] for row in found.rows] == ["ldt"]
    assert (found.total, found.cursor, found.errors) == (None, None, ())


async def test_a_recorded_alert_is_near_and_not_of_this_host(falcon: Falcon, shared_data: Path) -> None:
    falcon.says(recorded(shared_data, "alerts_entities_v2_sekoia_200"))
    result = await falcon.look(ALERT)
    (miss,) = result.parsed_results.near_misses
    assert miss.id.startswith("ad5f82e879a9c5d6b5b442eb37e50551:ind:")
    assert result.alert is not Answer.YES


def test_a_recorded_list_of_ids_is_read_without_its_ids(shared_data: Path) -> None:
    found = page_of(recorded(shared_data, "alerts_queries_v2_200").json(), "after")
    assert (found.rows, found.total) == ([], 2)


async def test_a_recorded_token_is_sent_with_every_request(falcon: Falcon, shared_data: Path) -> None:
    falcon.tokens = [recorded(shared_data, "oauth2_token_201")]
    falcon.says(page([]))
    await falcon.look({**ALERT, **ALIVE})
    assert len(falcon.log_ins) == 1
    assert {one.headers["Authorization"] for one in falcon.asked} == {"Bearer foo-token"}
    assert {one.url.host for one in falcon.asked} == {"api.us-2.crowdstrike.com"}


async def test_a_recorded_refusal_of_a_log_in_is_told_with_its_trace(falcon: Falcon, shared_data: Path) -> None:
    falcon.tokens = [recorded(shared_data, "oauth2_token_403")]
    result = await falcon.look(ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_AUTH_FAILED, True)
    assert "access denied, authorization failed" in messages_of(result)
    assert "trace 00000000-0000-0000-0000-000000000000" in messages_of(result)
    assert falcon.asked == []


async def test_a_recorded_refusal_of_alerts_names_the_scope_and_the_trace(falcon: Falcon, shared_data: Path) -> None:
    falcon.says(recorded(shared_data, "alerts_entities_403_sekoia"))
    result = await falcon.look(ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_AUTH_FAILED, True)
    assert "don't have proper permissions" in messages_of(result)
    assert "2d80bb22-a21b-4adc-ae09-e6e155f87eb9" in messages_of(result)
    assert "lacks Alerts: Read" in messages_of(result)


async def test_a_recorded_limit_is_waited_for_until_the_second_it_names(falcon: Falcon, shared_data: Path) -> None:
    falcon.says(recorded(shared_data, "rate_limited_429"))
    clock = KitClock()
    clock.now = datetime.fromtimestamp(1795203600 - 30, UTC)
    result = await falcon.look(ALERT, falcon.detector(clock=clock))
    assert (result.reason, result.final) == (Reason.BACKEND_RATE_LIMITED, False)
    assert result.result_metadata["retry_after"] == 30


async def test_a_limit_in_the_other_style_of_header_is_kept_too(falcon: Falcon) -> None:
    falcon.says(failure(429, "API rate limit exceeded.", {"Retry-After": "7"}))
    assert (await falcon.look(ALERT)).result_metadata["retry_after"] == 7


@pytest.mark.parametrize("config", [ALERT, ALIVE])
async def test_pages_are_gone_through_to_the_last(falcon: Falcon, config: dict[str, Any]) -> None:
    others = page([an_alert(composite_id="other", name="Another") | a_host(device_id="d2", hostname="dc01")], total=2)
    others["meta"]["pagination"] |= {"after": "way-on", "next": "way-on"}
    falcon.says(others, page([an_alert() | a_host()], total=2))
    result = await falcon.look(config)
    assert Answer.YES in (result.alert, result.alive)
    first, second = falcon.asked
    told = [json.loads(one.content) if one.method == "POST" else dict(one.url.params) for one in (first, second)]
    assert [one.get("after", one.get("offset")) for one in told] == [None, "way-on"]
    assert told[0]["filter"] == told[1]["filter"]


async def test_a_way_on_that_leads_to_nothing_more_is_the_end(falcon: Falcon) -> None:
    falcon.says(page([an_alert(name="Another")], total=1, way="on"), page([], total=1, way="on"))
    assert (await falcon.look(ALERT)).outcome is Outcome.NO_ALERT
    assert len(falcon.asked) == 2


async def test_a_way_on_that_goes_in_a_circle_is_left_and_proves_nothing(falcon: Falcon) -> None:
    falcon.says(page([an_alert(name="Another")], total=9, way="round"))
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    assert len(falcon.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        page([], total=3),
        page([], errors=[{"code": 500, "message": "a shard is away"}]),
        page([], errors=[{}]),
        page([], errors=["words"]),  # type: ignore[list-item]
    ],
)
async def test_an_answer_in_part_is_no_silence(falcon: Falcon, answer: dict[str, Any]) -> None:
    falcon.says(answer)
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    assert not result.final


def unlike(number: int) -> dict[str, Any]:
    return an_alert(composite_id=f"other-{number}", name="Another")


@pytest.mark.parametrize(
    "answer",
    [
        {"meta": {}, "resources": None},
        {"meta": {}, "resources": []},
        {"meta": {"pagination": {"limit": 1000}}, "resources": [unlike(1)]},
        {"meta": {"pagination": {"total": -1}}, "resources": [unlike(1)]},
        {"meta": {}, "resources": [unlike(number) for number in range(1000)]},
    ],
    ids=["null", "empty", "short", "negative", "full"],
)
async def test_without_a_total_nobody_knows_that_all_pages_came(falcon: Falcon, answer: dict[str, Any]) -> None:
    falcon.says(answer)
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)


@pytest.mark.parametrize("config", [ALERT, ALIVE])
async def test_a_record_that_comes_twice_counts_once_towards_the_total(falcon: Falcon, config: dict[str, Any]) -> None:
    other = unlike(1) | a_host(hostname="dc01")
    falcon.says(page([other], total=2, way="on"), page([other], total=2))
    result = await falcon.look(config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    assert "1 records came of 2" in messages_of(result)


async def test_a_total_counts_even_if_a_later_page_tells_a_smaller_one(falcon: Falcon) -> None:
    falcon.says(page([unlike(1)], total=3, way="on"), page([unlike(2)], total=1))
    assert (await falcon.look(ALERT)).reason is Reason.BACKEND_PARTIAL_ANSWER


async def test_a_total_that_only_the_first_page_tells_counts_for_all(falcon: Falcon) -> None:
    falcon.says(page([unlike(1)], total=2, way="on"), {"meta": {}, "resources": [unlike(2)]})
    assert (await falcon.look(ALERT)).outcome is Outcome.NO_ALERT


async def test_a_hit_in_an_answer_in_part_counts_and_tells_what_was_missing(falcon: Falcon) -> None:
    falcon.says(page([an_alert()], errors=[{"code": 500, "message": "a shard is away"}]))
    result = await falcon.look(ALERT)
    assert result.outcome is Outcome.ALERTED
    assert f"500 a shard is away, trace {TRACE}" in messages_of(result)


async def test_an_answer_in_part_without_a_trace_names_none(falcon: Falcon) -> None:
    falcon.says({"meta": {}, "errors": [{"message": "away"}], "resources": [an_alert()]})
    assert 'in part: away"' in messages_of(await falcon.look(ALERT))


async def test_no_resources_at_all_are_a_silence(falcon: Falcon) -> None:
    falcon.says({"meta": {"pagination": {"total": 0}}, "errors": None, "resources": None})
    assert (await falcon.look(ALERT)).outcome is Outcome.NO_ALERT


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={}),
        httpx.Response(200, json={"meta": {}}),
        httpx.Response(200, json={"resources": []}),
        httpx.Response(200, json={"meta": {}, "resources": {}}),
        httpx.Response(200, json=[]),
        httpx.Response(200),
        httpx.Response(200, text='{"meta": {'),
        httpx.Response(200, text="<html>Please log in</html>", headers={"Content-Type": "text/html"}),
        httpx.Response(200, content=gzip.compress(b"[" * (70 << 20)), headers={"Content-Encoding": "gzip"}),
        httpx.Response(500, json={}),
        httpx.Response(502, text="<html>Bad gateway</html>"),
        httpx.Response(503),
        httpx.Response(504),
        httpx.Response(408),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.content[:12]!r}",
)
async def test_what_is_no_answer_is_an_outage(falcon: Falcon, answer: httpx.Response) -> None:
    falcon.says(answer)
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert not result.final


@pytest.mark.parametrize("errors", [7, 0, "", "away", {}, {"code": 500}])
async def test_errors_that_are_no_list_are_no_answer_and_an_outage(falcon: Falcon, errors: Any) -> None:
    falcon.says(page([]) | {"errors": errors})
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert not result.final


@pytest.mark.parametrize("status", [400, 404])
async def test_a_filter_that_falcon_does_not_understand_is_told_in_its_words(falcon: Falcon, status: int) -> None:
    falcon.says(failure(status, "invalid filter"))
    result = await falcon.look(ALERT)
    assert (result.reason, result.final) == (Reason.QUERY_INVALID, True)
    assert f"invalid filter, trace {TRACE}" in messages_of(result)


@pytest.mark.parametrize("answer", [httpx.Response(201, json={}), httpx.Response(201, json={"access_token": None})])
async def test_a_log_in_without_a_token_is_an_outage(falcon: Falcon, answer: httpx.Response) -> None:
    falcon.tokens = [answer]
    assert (await falcon.look(ALERT)).reason is Reason.BACKEND_UNREACHABLE


async def test_a_record_without_an_id_spoils_the_no(falcon: Falcon) -> None:
    falcon.says(page([{"name": "LSASS dump"}]))
    result = await falcon.look(ALERT)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.PLUGIN_ERROR)


async def test_a_silent_alert_store_and_a_sensor_that_reports_are_no_alert(falcon: Falcon) -> None:
    falcon.rows = {"alerts": [], "devices": [a_host()]}
    result = await falcon.look({**ALERT, **ALIVE})
    assert (result.outcome, result.alert, result.alive) == (Outcome.NO_ALERT, Answer.NO, Answer.YES)


@pytest.mark.parametrize(
    ("seen", "alive"),
    [("2026-11-20T19:28:30Z", Answer.NO), ("2026-11-20T19:28:39Z", Answer.YES), ("2026-11-21T09:00:00Z", Answer.YES)],
    ids=["before", "during", "long after"],
)
async def test_a_sensor_is_alive_if_it_was_in_contact_since(falcon: Falcon, seen: str, alive: Answer) -> None:
    falcon.says(page([a_host(last_seen=seen)]))
    assert (await falcon.look(ALIVE)).alive is alive


async def test_a_sensor_that_came_later_was_not_there(falcon: Falcon) -> None:
    falcon.says(page([a_host(first_seen="2026-11-21T08:00:00Z", last_seen="2026-11-21T09:00:00Z")]))
    assert (await falcon.look(ALIVE)).alive is Answer.NO


async def test_a_sensor_that_does_less_than_it_could_is_named(falcon: Falcon) -> None:
    falcon.says(page([a_host(reduced_functionality_mode="yes")]))
    result = await falcon.look(ALIVE)
    assert result.alive is Answer.YES
    assert "the sensor of WS01 runs with reduced functionality" in messages_of(result)


async def test_a_mask_that_its_details_contradict_proves_nothing_and_is_named(falcon: Falcon) -> None:
    falcon.says(page([an_alert(pattern_disposition=2048, pattern_disposition_details={"process_blocked": False})]))
    result = await falcon.look({**ALERT, "prevention": True})
    assert (result.outcome, result.prevention) == (Outcome.ALERTED, Prevention.UNKNOWN)
    assert "disagree on process_blocked" in messages_of(result)


@pytest.mark.parametrize("section", ["telemetry", "rule"])
async def test_raw_telemetry_is_not_asked_and_never_called_a_miss(falcon: Falcon, section: str) -> None:
    result = await falcon.look({section: {"query": "cmdline:'x'"}, **ALERT})
    assert (result.outcome, result.reason) == (Outcome.NOT_APPLICABLE, Reason.CAPABILITY_MISSING)
    assert section in messages_of(result)
    assert falcon.asked == falcon.log_ins == []


async def test_the_query_is_told_as_it_was_sent(falcon: Falcon) -> None:
    falcon.says(page([]))
    result = await falcon.look({"alert": {"query": "cmdline:*'*MiniDump*'"}})
    told = json.loads(result.query_sent.partition("alerts/v1 ")[2])
    assert told == json.loads(falcon.asked[0].content)
    assert told["filter"].endswith("+(cmdline:*'*MiniDump*')")
