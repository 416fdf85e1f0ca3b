"""What Elasticsearch answers, recorded or specified, and what a look makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from checking_core import Answer, DetectionResult, Outcome, Prevention, Reason
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_elastic.answers import rows_of
from checking_plugin_elastic.client import Call
from checking_plugin_elastic.completeness import gaps_in
from checking_plugin_elastic.language import Language
from checking_plugin_elastic.queries import Asked
from checking_plugin_elastic.records import event_of

from .elastic_stage import ElasticStage, failure, search_answer

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
ALERT = {"alert": {"rule": "LSASS dump"}}
EQL = {"telemetry": {"index": "logs-*", "language": "eql", "query": "any where true"}}
ESQL = {"telemetry": {"language": "esql", "query": "FROM logs-* METADATA _id, _index | KEEP *"}}
LUCENE = {"telemetry": {"index": "logs-*", "query": "rundll32"}}
WHOLE = {"timed_out": False, "_shards": {"total": 3, "successful": 3, "failed": 0}}


class Cluster(ElasticStage):
    """Answers with what it is told to, one after the other, the last again and again."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__(router)
        self.answers: list[httpx.Response] = []

    def found(self, request: httpx.Request) -> httpx.Response:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def says(self, *answers: httpx.Response | dict[str, Any]) -> None:
        self.answers = [
            answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer) for answer in answers
        ]

    async def look(self, config: dict[str, Any], **task: Any) -> DetectionResult:
        detector = self.detector(clock=KitClock())
        try:
            return await run_task(detector, a_task(detection_config=config, **task), SETTINGS)
        finally:
            await detector.close()

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.asked[-1].content)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with respx.mock(assert_all_called=False) as router:
        yield Cluster(router)


def recorded(shared_data: Path, name: str) -> httpx.Response:
    told = json.loads((shared_data / "backends" / "elastic" / f"{name}.json").read_text())
    return httpx.Response(told["status"], json=told["body"], headers=told.get("headers"))


def an_event(**changes: Any) -> dict[str, Any]:
    source = {"@timestamp": STARTED.isoformat(), "host": {"name": "WS01"}, "process": {"pid": 4242}}
    return {"_index": "logs-1", "_id": "event-1", "_source": source | changes}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("search_partial_shards_200_CONSTRUCTED", LUCENE),
        ("search_partial_shards_200_CONSTRUCTED", ALERT),
        ("eql_partial_200_CONSTRUCTED", EQL),
        ("esql_partial_200_CONSTRUCTED", ESQL),
    ],
)
async def test_a_recorded_answer_in_part_is_no_silence(
    cluster: Cluster, shared_data: Path, name: str, config: dict[str, Any]
) -> None:
    cluster.says(recorded(shared_data, name))
    result = await cluster.look(config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    assert not result.final


@pytest.mark.parametrize(
    ("name", "language", "pids", "whole"),
    [
        ("search_200", Language.LUCENE, [None], False),
        ("eql_sequence_200", Language.EQL, [2012, 2012], True),
        ("esql_200_CONSTRUCTED", Language.ESQL, [None], True),
    ],
)
def test_a_recorded_answer_is_read(
    shared_data: Path, name: str, language: Language, pids: list[int | None], whole: bool
) -> None:
    question = Asked(call=Call("/", {}), language=language, words="", most=10)
    rows = rows_of(recorded(shared_data, name).json(), question)
    events = [event_of(row) for row in rows.records]
    assert ([event.pid for event in events], rows.whole) == (pids, whole)
    assert all(event.id and event.event_at for event in events)


async def test_a_recorded_refusal_for_load_is_waited_for(cluster: Cluster, shared_data: Path) -> None:
    cluster.says(recorded(shared_data, "error_429_CONSTRUCTED"))
    result = await cluster.look(ALERT)
    assert (result.reason, result.final) == (Reason.BACKEND_RATE_LIMITED, False)


def test_a_recorded_search_that_still_runs_is_incomplete(shared_data: Path) -> None:
    body = recorded(shared_data, "async_search_running_200").json()
    assert gaps_in(body) == ("is_partial", "is_running")


@pytest.mark.parametrize(
    "gap",
    [
        {"timed_out": True},
        {"terminated_early": True},
        {"is_partial": True},
        {"is_running": True},
        {"_shards": {"total": 3, "successful": 2, "failed": 1}},
        {"_shards": {"total": 0, "successful": 0, "failed": 0}},
        {"shard_failures": [{"shard": 0}]},
        {"_clusters": {"total": 2, "successful": 1, "skipped": 1}},
        {"_clusters": {"total": 2, "successful": 1, "partial": 1}},
        {"_clusters": {"total": 2, "successful": 1, "failed": 1}},
        {"_clusters": {"total": 2, "successful": 1, "running": 1}},
    ],
    ids=str,
)
async def test_each_sign_of_a_gap_spoils_a_silence_and_no_hit(cluster: Cluster, gap: dict[str, Any]) -> None:
    cluster.says(search_answer([]) | gap)
    silent = await cluster.look(LUCENE)
    cluster.says(search_answer([an_event()]) | gap)
    hit = await cluster.look(LUCENE)
    assert (silent.telemetry, silent.reason) == (Answer.UNKNOWN, Reason.BACKEND_PARTIAL_ANSWER)
    assert hit.telemetry is Answer.YES


def test_a_whole_answer_has_no_gap() -> None:
    assert gaps_in({**WHOLE, "_clusters": {"total": 2, "successful": 2, "skipped": 0}, "shard_failures": []}) == ()


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (failure(400, "parsing_exception", "no viable input"), Reason.QUERY_INVALID, True),
        (failure(400, "verification_exception", "Unknown column [x]"), Reason.QUERY_INVALID, True),
        (failure(401, "security_exception", "missing credentials"), Reason.BACKEND_AUTH_FAILED, True),
        (failure(403, "security_exception", "unauthorized for API key"), Reason.BACKEND_AUTH_FAILED, True),
        (failure(404, "index_not_found_exception", "no such index [logs-x]"), Reason.QUERY_INVALID, True),
        (httpx.Response(405, json={"error": "Incorrect HTTP method", "status": 405}), Reason.PLUGIN_ERROR, True),
        (failure(406, "x", "y"), Reason.PLUGIN_ERROR, True),
        (failure(408, "timeout", "y"), Reason.BACKEND_UNREACHABLE, False),
        (failure(500, "script_exception", "bug"), Reason.PLUGIN_ERROR, True),
        (failure(500, "circuit_breaking_exception", "too large"), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(500, text="oops"), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(502, text="<html>Bad Gateway"), Reason.BACKEND_UNREACHABLE, False),
        (failure(503, "no_shard_available_action_exception", "x"), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, text=""), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, text='{"took": 3, "hits": {"to'), Reason.BACKEND_UNREACHABLE, False),
        (
            httpx.Response(200, json={"name": "node-1", "tagline": "You Know, for Search"}),
            Reason.BACKEND_UNREACHABLE,
            False,
        ),
        (httpx.Response(302, headers={"Location": "https://login.example"}), Reason.PLUGIN_ERROR, True),
    ],
    ids=lambda value: f"{value.status_code} {value.text[:60]}" if isinstance(value, httpx.Response) else str(value),
)
@pytest.mark.parametrize("config", [ALERT, LUCENE, EQL, ESQL], ids=["alert", "lucene", "eql", "esql"])
async def test_each_error_is_told_for_what_it_is(
    cluster: Cluster, config: dict[str, Any], answer: httpx.Response, reason: Reason, final: bool
) -> None:
    cluster.says(answer)
    result = await cluster.look(config)
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, reason, final)


@pytest.mark.parametrize(
    ("config", "parameter"),
    [
        (LUCENE, "allow_partial_search_results"),
        (EQL, "allow_partial_search_results"),
        (ESQL, "allow_partial_results"),
    ],
)
async def test_partial_answers_are_switched_off(cluster: Cluster, config: dict[str, Any], parameter: str) -> None:
    cluster.says(search_answer([]))
    await cluster.look(config)
    assert cluster.asked[-1].url.params[parameter] == "false"


async def test_an_old_version_that_knows_no_such_switch_is_asked_without(cluster: Cluster) -> None:
    unknown = "request [/logs-*/_eql/search] contains unrecognized parameter: [allow_partial_search_results]"
    answer = {"is_partial": False, "is_running": False, "timed_out": False, "hits": {"events": [an_event()]}}
    cluster.says(failure(400, "illegal_argument_exception", unknown), httpx.Response(200, json=answer))
    assert (await cluster.look(EQL)).telemetry is Answer.YES
    assert "allow_partial_search_results" not in cluster.asked[-1].url.params


async def test_a_switch_that_one_route_does_not_know_stays_on_for_the_others(cluster: Cluster) -> None:
    unknown = "request [/logs-*/_eql/search] contains unrecognized parameter: [allow_partial_search_results]"
    nothing = httpx.Response(200, json={"hits": {"events": []}})
    detector = cluster.detector(clock=KitClock())
    try:
        cluster.says(failure(400, "illegal_argument_exception", unknown), nothing)
        await run_task(detector, a_task(detection_config=EQL), SETTINGS)
        cluster.says(search_answer([]))
        await run_task(detector, a_task(detection_config=LUCENE), SETTINGS)
    finally:
        await detector.close()
    assert [one.url.params.get("allow_partial_search_results") for one in cluster.asked] == ["false", None, "false"]


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (EQL, {"hits": {}}),
        (EQL, {"is_partial": False, "timed_out": False, "hits": {"total": {"value": 0}, "events": None}}),
        (EQL, {"hits": {"total": {"value": 0}, "hits": []}}),
        (ESQL, {"columns": [], "values": []}),
    ],
    ids=str,
)
async def test_an_answer_without_what_it_is_about_is_no_silence(
    cluster: Cluster, config: dict[str, Any], answer: dict[str, Any]
) -> None:
    cluster.says(answer)
    result = await cluster.look(config)
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE, False)


@pytest.mark.parametrize(
    "config",
    [
        {"telemetry": {"query": "x", "index": "*"}},
        {"telemetry": {"query": "x", "index": "_all"}},
        {"telemetry": {"query": "x", "index": "a/_doc/../../b"}},
        {"telemetry": {"query": "x", "index": "-logs"}},
        {"telemetry": {"query": "FROM * | LIMIT 5", "language": "esql"}},
        {"telemetry": {"query": "@timestamp: [now-1d TO now]", "index": "logs-*"}},
        {"telemetry": {"query": "any where true | unique pid", "index": "logs-*", "language": "eql"}},
        {"telemetry": {"query": "any where true | /* one */ head 1", "index": "logs-*", "language": "eql"}},
        {"alert": {"query": "any where true", "rule": "x"}, "telemetry": {"query": "x", "language": "sql"}},
    ],
    ids=str,
)
async def test_a_question_without_a_scope_is_not_asked(cluster: Cluster, config: dict[str, Any]) -> None:
    cluster.says(search_answer([]))
    result = await cluster.look(config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)


async def test_a_query_is_confined_to_the_window(cluster: Cluster) -> None:
    cluster.says({"columns": [], "values": []})
    await cluster.look(ESQL)
    assert {"gte", "lte"} <= cluster.body["filter"]["range"]["@timestamp"].keys()
    cluster.says(search_answer([]))
    await cluster.look(LUCENE)
    assert "range" in cluster.body["query"]["bool"]["filter"][0]


async def test_a_row_more_than_its_own_limit_proves_nothing(cluster: Cluster) -> None:
    limited = {"telemetry": {"language": "esql", "query": "FROM logs-* METADATA _id | KEEP _id, host.name | LIMIT 1"}}
    cluster.says({"columns": [{"name": "_id"}, {"name": "host.name"}], "values": [["a", "dc01"]]})
    assert (await cluster.look(limited)).telemetry is Answer.UNKNOWN
    cluster.says({"columns": [{"name": "_id"}, {"name": "host.name"}], "values": []})
    assert (await cluster.look(limited)).telemetry is Answer.NO


@pytest.mark.parametrize("pipe", ["| head 1", "|tail 1", "| HEAD 5 | tail 1", '| head 1 | tail 5 // of "all"'], ids=str)
async def test_a_row_more_than_a_pipe_of_eql_lets_through_proves_nothing(cluster: Cluster, pipe: str) -> None:
    limited = {"telemetry": {"index": "logs-*", "language": "eql", "query": f'any where x != "| head 0" {pipe}'}}
    elsewhere = an_event(host={"name": "dc01"})
    cluster.says({"is_partial": False, "hits": {"events": [elsewhere]}})
    assert (await cluster.look(limited)).telemetry is Answer.UNKNOWN
    cluster.says({"is_partial": False, "hits": {"events": []}})
    assert (await cluster.look(limited)).telemetry is Answer.NO


async def test_a_crowd_of_alerts_is_asked_again_for_the_host_and_the_rule(cluster: Cluster) -> None:
    crowd = search_answer([an_event() for _ in range(1000)])
    crowd["hits"]["total"] = {"value": 1001, "relation": "gte"}
    cluster.says(crowd)
    await cluster.look(ALERT)
    narrowest = json.dumps(cluster.body["query"])
    assert len(cluster.asked) == 3
    assert "ws01*" in narrowest
    assert "LSASS dump" in narrowest


def a_suppressing_alert(terms: dict[str, Any], *, count: int = 3, host: str = "WS99") -> dict[str, Any]:
    """Its first event was twenty minutes before, on some host; the last that it stands for is in the window."""
    first, last = STARTED - timedelta(minutes=20), STARTED + timedelta(seconds=30)
    source = {
        "@timestamp": (first + timedelta(minutes=1)).isoformat(),
        "kibana.alert.rule.name": "LSASS dump",
        "kibana.alert.original_time": first.isoformat(),
        "kibana.alert.original_event": {"kind": "alert", "type": ["denied"], "outcome": "success"},
        "kibana.alert.last_detected": ENDED.isoformat(),
        "host": {"name": host},
        "process": {"pid": 77, "command_line": "calc.exe"},
    }
    suppression = {
        "start": first.isoformat(),
        "end": last.isoformat(),
        "docs_count": count,
        "terms": [{"field": field, "value": value} for field, value in terms.items()],
    }
    return {"_index": "i", "_id": "a", "_source": source | {"kibana.alert.suppression": suppression}}


@pytest.mark.parametrize(
    ("alert", "outcome", "reason"),
    [
        (a_suppressing_alert({"host.name": ["WS01"]}), Outcome.ALERTED, Reason.MATCHED_ALERT),
        (a_suppressing_alert({"host.name": "WS01"}, host="WS01"), Outcome.ALERTED, Reason.MATCHED_ALERT),
        (a_suppressing_alert({"user.name": ["x"]}), Outcome.INCONCLUSIVE, Reason.ALERT_FIELDS_INCOMPLETE),
        (a_suppressing_alert({"user.name": "x"}, host="WS01"), Outcome.INCONCLUSIVE, Reason.ALERT_FIELDS_INCOMPLETE),
        (a_suppressing_alert({"host.name": None}), Outcome.INCONCLUSIVE, Reason.ALERT_FIELDS_INCOMPLETE),
        (a_suppressing_alert({"host.name": ["WS99"]}), Outcome.NO_ALERT, Reason.ALERT_OTHER_HOST),
        (a_suppressing_alert({"host.name": ["WS01"]}, count=0), Outcome.NO_ALERT, Reason.DEADLINE_PASSED),
    ],
    ids=["host", "host of both", "other terms", "other terms, first is ours", "no value", "other host", "of one event"],
)
async def test_an_alert_is_also_that_of_the_events_that_it_suppressed(
    cluster: Cluster, alert: dict[str, Any], outcome: Outcome, reason: Reason
) -> None:
    """Of those only the terms are known that they have in common: another host is none, unless it is one of them."""
    cluster.says(search_answer([alert]))
    result = await cluster.look({**ALERT, "control": False})
    assert (result.outcome, result.reason) == (outcome, reason)


async def test_what_the_first_event_of_several_tells_is_not_told_of_the_others(cluster: Cluster) -> None:
    cluster.says(search_answer([a_suppressing_alert({"host.name": ["WS01"]})]))
    result = await cluster.look({**ALERT, "prevention": True, "control": False})
    assert (result.outcome, result.prevention) == (Outcome.ALERTED, Prevention.UNKNOWN)
    assert result.alert_at == ENDED


async def test_an_alert_of_several_events_is_one_alert(cluster: Cluster) -> None:
    cluster.says(search_answer([a_suppressing_alert({"host.name": ["WS01"]}, host="WS01")]))
    assert (await cluster.look({"alert": {"rule": "LSASS dump", "min_count": 2}})).alert is Answer.NO


async def test_the_self_check_tells_what_a_person_wants_to_know(cluster: Cluster) -> None:
    newest = an_event() | {"_source": {"@timestamp": ENDED.isoformat()}}
    privileges = {"cluster": {"manage": True}, "index": {".alerts": {"write": True, "delete_index": False}}}
    cluster.says(httpx.Response(200, json=search_answer([newest]), headers={"Date": "Fri, 20 Nov 2026 19:50:39 GMT"}))
    cluster.answers += [httpx.Response(200, json=privileges)]
    detector = cluster.detector(clock=KitClock())
    health = await detector.self_check()
    await detector.close()
    assert health.ok
    assert "newest alert 22 minutes old" in health.detail
    assert "may manage, write, which it does not need" in health.detail
    assert "clock +20 s" in health.detail
