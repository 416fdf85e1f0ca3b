"""A search is a job: what its steps answer, and what a look makes of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from checking_core import Answer, BackendUnreachableError, Outcome, Reason
from checking_core.matching.window import Window
from checking_core.testing import ENDED, STARTED, KitClock, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.jobs import Jobs

from .splunk_head import (
    ALERT,
    QUOTA,
    SEARCH,
    SETTINGS,
    SUBSTITUTED,
    SearchHead,
    a_page,
    a_row,
    a_state,
    keys_of,
    recorded,
    told,
)
from .splunk_stage import PEER_AWAY, SplunkStage, a_job, said


async def test_a_job_is_created_for_the_window_awaited_read_and_deleted(head: SearchHead) -> None:
    head.rows["main"] = [a_row()]
    head.say("poll", httpx.Response(204), a_job(dispatchState="RUNNING", isDone=False), a_job(resultCount=1))
    assert (await head.look(SEARCH)).telemetry is Answer.YES
    assert head.steps()[:6] == ["create", "poll", "poll", "poll", "results", "delete"]
    form = head.forms[0]
    assert form["exec_mode"] == "normal"
    assert form["search"].startswith("search index=main rundll32 | head ")
    assert float(form["earliest_time"]) < STARTED.timestamp() < float(form["latest_time"])
    assert form["allow_partial_results"] == "false"
    assert int(form["auto_cancel"]) > 0
    assert head.waits == sorted(head.waits)


async def test_recorded_states_are_waited_through(head: SearchHead, shared_data: Path) -> None:
    states = [keys_of(told(shared_data, name)["body_xml"]) for name in ("xml_job_poll_200", "xml_job_done_200")]
    head.say("poll", httpx.Response(told(shared_data, "xml_job_not_ready_204")["status"]), *map(a_state, states))
    head.rows["main"] = [a_row(_cd=str(number)) for number in range(100)]
    assert (await head.look(SEARCH)).telemetry is Answer.YES
    assert states[0]["dispatchState"] == "PARSING"
    assert head.steps()[:5] == ["create", "poll", "poll", "poll", "results"]


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("poll", a_job(isFailed=True, dispatchState="FAILED", messages=[{"type": "FATAL", "text": "Error in 'x'"}])),
        ("poll", httpx.Response(500)),
        ("results", httpx.Response(503)),
        ("results", a_page(preview=True)),
    ],
)
async def test_a_job_is_deleted_however_it_ends(head: SearchHead, step: str, answer: Any) -> None:
    head.say(step, answer)
    assert (await head.look(SEARCH)).outcome is Outcome.INCONCLUSIVE
    assert head.steps()[-1] == "delete"
    assert not head.left


async def test_a_job_of_a_look_that_runs_out_of_time_is_deleted(head: SearchHead) -> None:
    head.say("poll", a_job(isDone=False))
    detector = SplunkStage.detector(head, clock=KitClock())
    result = await run_task(detector, a_task(detection_config=SEARCH | {"timeout": 0.3}, timing=None), SETTINGS)
    await detector.close()
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)
    assert not head.left


async def test_a_job_that_is_never_done_is_given_up(head: SearchHead) -> None:
    head.say("poll", a_job(isDone=False, dispatchState="PAUSED"))
    client = SplunkClient(head.detector().settings, KitClock())
    with pytest.raises(BackendUnreachableError, match="not done within 1 s"):
        await Jobs(client, asyncio.sleep).run("search index=main", Window(STARTED, ENDED), most=1, seconds=1)
    await client.close()
    assert not head.left


async def test_a_job_that_cannot_be_deleted_disturbs_nothing(head: SearchHead) -> None:
    head.rows["main"] = [a_row()]
    head.say("delete", httpx.Response(500))
    assert (await head.look(SEARCH)).telemetry is Answer.YES


async def test_a_job_that_disappeared_is_run_once_more(head: SearchHead, shared_data: Path) -> None:
    head.rows["main"] = [a_row()]
    head.say("poll", recorded(shared_data, "xml_unknown_sid_404"), a_job(resultCount=1))
    assert (await head.look(SEARCH)).telemetry is Answer.YES
    assert head.asked_for("main") == 2


async def test_a_job_that_disappears_again_is_no_silence(head: SearchHead, shared_data: Path) -> None:
    head.say("results", recorded(shared_data, "xml_unknown_sid_404"))
    result = await head.look(SEARCH)
    assert (result.reason, head.steps().count("create")) == (Reason.BACKEND_UNREACHABLE, 2)


async def test_a_version_without_the_second_interface_is_asked_by_the_first(head: SearchHead) -> None:
    head.rows["main"] = [a_row()]
    first: list[str] = []

    def old(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        first.append(path)
        if "/v2/" in path:
            return said(404, "ERROR", "Not Found")
        request = httpx.Request(
            request.method, str(request.url).replace("search/jobs", "search/v2/jobs"), content=request.content
        )
        head.asked.append(request)
        return SplunkStage.found(head, request)

    head.found = old  # type: ignore[method-assign]
    detector = head.detector(clock=KitClock())
    for _ in range(2):
        result = await run_task(detector, a_task(detection_config=SEARCH), SETTINGS)
        detector.clock.now += timedelta(minutes=5)  # type: ignore[attr-defined]
        assert result.telemetry is Answer.YES
    await detector.close()
    assert sum("/v2/" in path for path in first) == 1


async def test_an_interface_that_is_gone_later_is_told(head: SearchHead) -> None:
    def closed(request: httpx.Request) -> httpx.Response:
        return said(404, "ERROR", "Not Found")

    head.found = closed  # type: ignore[method-assign]
    assert (await head.look(SEARCH)).reason is Reason.QUERY_INVALID
    assert [one.url.path for one in head.asked] == ["/services/search/v2/jobs", "/services/search/jobs"]


async def test_a_context_without_its_app_is_told_in_the_products_words(head: SearchHead) -> None:
    head.say("create", said(404, "ERROR", "Application does not exist: nowhere"))
    result = await head.look(SEARCH, app="nowhere")
    assert result.reason is Reason.QUERY_INVALID
    assert head.asked[0].url.path.startswith("/servicesNS/nobody/nowhere/search/v2/jobs")


@pytest.mark.parametrize(
    "state",
    [
        {"isFinalized": True},
        {"isFinalized": "1"},
        {"messages": [{"type": "ERROR", "text": PEER_AWAY}]},
        {"messages": [{"type": "WARN", "text": "Search results might be incomplete: the search process on peer died"}]},
        {"messages": [{"type": "INFO", "text": "[subsearch]: Search auto-finalized after time limit (60 seconds)."}]},
        {"messages": [{"type": "INFO", "text": "Subsearch produced 50000 results, truncating to maxout 10000."}]},
        {"resultCount": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("config", [ALERT, SEARCH], ids=["alert", "telemetry"])
async def test_each_sign_of_a_gap_spoils_a_silence_and_no_hit(
    head: SearchHead, state: dict[str, Any], config: dict[str, Any]
) -> None:
    head.say("poll", a_job(**{"resultCount": 0, **state}))
    silent = await head.look(config)
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)
    ours = a_row(dest="ws01", rule_name="LSASS dump", orig_time=STARTED.isoformat())
    head.rows = {"main": [ours], "notable": [ours]}
    hit = await head.look(config)
    assert Answer.YES in (hit.alert, hit.telemetry)


async def test_a_healthy_job_may_have_messages(head: SearchHead, shared_data: Path) -> None:
    page = told(shared_data, "javasdk_results5")
    assert page["messages"]
    head.say(
        "poll", a_job(resultCount=0, messages=[{"type": "WARN", "text": "The regex of x is slow"}, *page["messages"]])
    )
    result = await head.look(SEARCH)
    assert (result.telemetry, result.reason) == (Answer.NO, Reason.NO_TELEMETRY)


async def test_an_index_that_is_not_there_is_no_silence(head: SearchHead) -> None:
    head.rows_of = lambda _: []  # type: ignore[method-assign,assignment]
    for config in (ALERT, SEARCH):
        result = await head.look(config)
        assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)
    assert {'| eventcount summarize=false index="notable"', '| eventcount summarize=false index="main"'} <= {
        *head.searches
    }


@pytest.mark.parametrize(
    "config",
    [
        {"rule": {"query": "(index=main OR index=sec) x"}},
        {"telemetry": {"index": "main, sec", "query": "x"}, "alive": {"query": "index=main"}},
    ],
    ids=str,
)
async def test_rows_of_one_index_do_not_excuse_another_that_is_not_there(
    head: SearchHead, config: dict[str, Any]
) -> None:
    head.rows_of = lambda search: [] if "eventcount" in search and "sec" in search else [*head.rows["main"]]  # type: ignore[method-assign]
    head.rows["main"] = [a_row(host="dc01")]
    silent = await head.look(config)
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)
    assert "the index sec is not there" in str(silent.result_metadata)
    head.rows["main"] = [a_row()]
    hit = await head.look(config)
    assert Answer.YES in (hit.rule, hit.telemetry)


@pytest.mark.parametrize("rows", [[], [a_row(host="dc01")]], ids=["no rows", "rows of a neighbour"])
@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("index=main x | append [search index=sec y]", Reason.QUERY_INVALID),
        ("`windows` EventCode=1", Reason.SOURCE_SILENT),
        ("| tstats count from datamodel=NoSuchModel by host _time", Reason.SOURCE_SILENT),
        ("index=main x | append [search `windows` y]", Reason.SOURCE_SILENT),
    ],
)
async def test_what_is_searched_by_another_name_has_to_be_there_too(
    head: SearchHead, rows: list[dict[str, Any]], query: str, reason: Reason
) -> None:
    missing = ('eventcount summarize=false index="sec"', "search `windows` | head 1", "where count>0")

    def found(search: str) -> list[dict[str, Any]]:
        if any(search.endswith(one) for one in missing):
            return []
        return [{"index": "main"}] if "eventcount" in search or search.endswith(" | head 1") else rows

    head.rows_of = found  # type: ignore[method-assign]
    silent = await head.look({"rule": {"query": query}})
    assert (silent.outcome, silent.reason) == (Outcome.INCONCLUSIVE, reason)
    rows = [a_row(_span="60")]
    assert (await head.look({"rule": {"query": query}})).rule is Answer.YES
    missing, rows = (), []
    head.rows_of = lambda search: found(search) or ([{"count": "7"}] if "where count>0" in search else [])  # type: ignore[method-assign]
    assert (await head.look({"rule": {"query": query}})).rule is Answer.NO


@pytest.mark.parametrize("rows", [[], [a_row(host="dc01")]], ids=["no rows", "rows of a neighbour"])
async def test_an_index_that_was_looked_for_in_a_part_of_the_data_is_not_missing(
    head: SearchHead, rows: list[dict[str, Any]]
) -> None:
    away = {"resultCount": 0, "messages": [{"type": "ERROR", "text": PEER_AWAY}]}
    for answers in (
        [a_job(resultCount=len(rows)), a_job(**away)],
        [a_job(resultCount=len(rows)), a_job(resultCount=1)],
    ):
        head.say("poll", *answers)
        head.rows_of = lambda search: rows if "eventcount" not in search else []  # type: ignore[method-assign]
        result = await head.look(SEARCH)
        assert (result.reason, result.final) == (Reason.BACKEND_PARTIAL_ANSWER, False)


async def test_that_an_index_could_not_be_looked_for_is_not_remembered(head: SearchHead) -> None:
    away = {"resultCount": 0, "messages": [{"type": "ERROR", "text": PEER_AWAY}]}
    head.say("poll", a_job(resultCount=0), a_job(**away), a_job(resultCount=0))
    head.say("results", a_page(), a_page(), a_page(), a_page({"index": "main", "count": "1"}))
    detector = head.detector(clock=KitClock())
    looks = [a_task(detection_config={"telemetry": {"query": f"index=main {x}"}}, max_retries=0) for x in "ab"]
    reasons = [(await run_task(detector, look, SETTINGS)).reason for look in looks]
    assert reasons == [Reason.BACKEND_PARTIAL_ANSWER, Reason.NO_TELEMETRY]
    await detector.close()


async def test_each_index_of_alerts_has_to_be_there(head: SearchHead) -> None:
    assert (await head.look(ALERT, alerts_index="notable, risk")).alert is Answer.NO
    assert head.searches[0].startswith('search (index="notable" OR index="risk")')
    assert head.searches[1:] == [f'| eventcount summarize=false index="{name}"' for name in ("notable", "risk")]


async def test_an_index_is_looked_for_once_in_a_while(head: SearchHead) -> None:
    detector = head.detector(clock=KitClock())
    for query in ("a", "b"):
        await run_task(detector, a_task(detection_config={"telemetry": {"query": f"index=main {query}"}}), SETTINGS)
    await detector.close()
    assert sum("eventcount" in search for search in head.searches) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "final"),
    [
        (said(200, "FATAL", "Error in 'delete' command: You have insufficient privileges"), Reason.QUERY_INVALID, True),
        (said(200, "FATAL", "JournalSliceDirectory: Cannot seek to 0"), Reason.BACKEND_PARTIAL_ANSWER, False),
        (said(200, "FATAL", "WLM-DENIED: This search violates an admission rule."), Reason.BACKEND_AUTH_FAILED, True),
        (said(200, "WARN", f"Search not executed: {QUOTA}."), Reason.BACKEND_RATE_LIMITED, False),
        (said(200, "INFO", SUBSTITUTED), Reason.QUERY_INVALID, True),
        (said(503, "FATAL", f"Search not executed: {QUOTA}."), Reason.BACKEND_RATE_LIMITED, False),
        (said(403, "WARN", "insufficient permission to access this resource"), Reason.BACKEND_AUTH_FAILED, True),
        (said(400, "FATAL", "Unknown search command 'x'."), Reason.QUERY_INVALID, True),
        (said(401, "WARN", "call not properly authenticated"), Reason.BACKEND_AUTH_FAILED, True),
        (httpx.Response(429, headers={"Retry-After": "7"}), Reason.BACKEND_RATE_LIMITED, False),
        (httpx.Response(500, text="oops"), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(502, text="<html>Bad Gateway"), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(503), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, text=""), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, text='{"results": [{"_ti'), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, json={"links": {}}), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}), Reason.BACKEND_UNREACHABLE, False),
        (httpx.Response(302, headers={"Location": "https://login.example"}), Reason.PLUGIN_ERROR, True),
    ],
    ids=lambda value: f"{value.status_code} {value.text[:60]}" if isinstance(value, httpx.Response) else str(value),
)
@pytest.mark.parametrize("step", ["create", "poll", "results"])
async def test_each_error_is_told_for_what_it_is_at_every_step(
    head: SearchHead, step: str, answer: httpx.Response, reason: Reason, final: bool
) -> None:
    if step == "poll" and answer.status_code == 200 and "messages" in answer.text:
        answer = httpx.Response(200, json=a_job(**answer.json()))
    head.say(step, answer)
    result = await head.look(SEARCH)
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, reason, final)


@pytest.mark.parametrize(
    "gone",
    [
        a_job(isFailed=True, dispatchState="FAILED"),
        a_job(isFailed="1", messages=[{"type": "ERROR", "text": "the search process ended"}]),
        a_job(isZombie=True, isDone=False),
    ],
)
async def test_a_job_that_failed_is_no_silence(head: SearchHead, gone: dict[str, Any]) -> None:
    head.say("poll", gone)
    assert (await head.look(SEARCH)).reason is Reason.BACKEND_UNREACHABLE
