"""The way in, what is asked, and what the self-check tells."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from pydantic import SecretStr
from tests.fakes.spl import rows_of

from checking_core import Answer, Outcome, Reason
from checking_core.testing import ENDED, STARTED, KitClock, Trouble, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.settings import SplunkSettings

from .splunk_head import ALERT, SEARCH, SETTINGS, SearchHead, a_row, recorded, step_of, told
from .splunk_stage import PEER_AWAY, URL, SplunkStage, a_job, said

WITH_PASSWORD = {"token": None, "username": "checking", "password": SecretStr("s3cret")}


def a_session(key: str) -> httpx.Response:
    return httpx.Response(200, json={"sessionKey": key, "message": "", "code": ""})


async def test_a_token_is_a_bearer(head: SearchHead) -> None:
    await head.look(SEARCH)
    assert {one.headers["Authorization"] for one in head.asked} == {f"Bearer {head.secret}"}


async def test_a_session_is_opened_once_and_used(head: SearchHead, shared_data: Path) -> None:
    (key,) = re.findall(r"<sessionKey>(\w+)<", told(shared_data, "xml_auth_login_200")["body_xml"])
    head.say("login", a_session(key))
    await head.look({**ALERT, **SEARCH}, **WITH_PASSWORD)
    assert head.steps().count("login") == 1
    login = parse_qs(next(one for one in head.asked if step_of(one) == "login").content.decode())
    assert (login["username"], login["password"]) == (["checking"], ["s3cret"])
    assert {one.headers["Authorization"] for one in head.asked if step_of(one) != "login"} == {f"Splunk {key}"}


async def test_a_session_that_ended_is_opened_again_once(head: SearchHead) -> None:
    head.rows["main"] = [a_row()]
    head.say("login", a_session("old"), a_session("new"))
    head.say("poll", said(401, "WARN", "call not properly authenticated"), a_job(resultCount=1))
    assert (await head.look(SEARCH, **WITH_PASSWORD)).telemetry is Answer.YES
    assert (head.steps().count("login"), head.asked_for("main")) == (2, 1)


async def test_a_session_that_is_refused_anew_is_given_up(head: SearchHead) -> None:
    head.say("login", a_session("old"), a_session("new"))
    head.say("create", said(401, "WARN", "call not properly authenticated"))
    result = await head.look(SEARCH, **WITH_PASSWORD)
    assert (result.reason, head.steps()) == (Reason.BACKEND_AUTH_FAILED, ["login", "create", "login", "create"])


async def test_sessions_that_are_refused_anew_are_not_opened_for_each_look(head: SearchHead) -> None:
    head.say("login", *(a_session(f"key-{number}") for number in range(20)))
    head.say("create", said(401, "WARN", "call not properly authenticated"))
    told = {"url": URL, "index": "main", **WITH_PASSWORD}
    clock = KitClock()
    detector = SplunkDetector("splunk", SplunkSettings(**told), clock=clock, sleep=head.wait)
    looks = [a_task(detection_config={"telemetry": {"query": f"index=main {x}"}}, max_retries=0) for x in range(10)]
    reasons = {(await run_task(detector, look, SETTINGS)).reason for look in looks}
    assert (reasons, head.steps().count("login")) == ({Reason.BACKEND_AUTH_FAILED}, 2)
    clock.now += timedelta(minutes=6)
    del head.says["create"]
    assert (await run_task(detector, looks[0], SETTINGS)).telemetry is Answer.NO
    await detector.close()


async def test_a_log_in_that_is_refused_is_not_repeated(head: SearchHead, shared_data: Path) -> None:
    head.say("login", recorded(shared_data, "xml_login_failed_401"))
    result = await head.look({**ALERT, **SEARCH}, **WITH_PASSWORD)
    assert (result.reason, result.final, head.steps()) == (Reason.BACKEND_AUTH_FAILED, True, ["login"])


async def test_a_log_in_that_is_no_answer_is_an_outage(head: SearchHead) -> None:
    head.say("login", {"code": "x"})
    assert (await head.look(SEARCH, **WITH_PASSWORD)).reason is Reason.BACKEND_UNREACHABLE


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"telemetry": {"query": "x", "index": "*"}}, "'*' is none"),
        ({"telemetry": {"query": "x", "index": "a b"}}, "'a b' is none"),
        ({"telemetry": {"query": "index=* x"}}, "every index"),
        ({"telemetry": {"query": "| tstats count where index=*"}}, "every index"),
        ({"telemetry": {"query": "| tstats count where host=x"}}, "no index and no data model"),
        ({"telemetry": {"query": "| tstats count where index=a", "index": "a"}}, "remove index"),
        ({"telemetry": {"query": "index=a earliest=-1d"}}, "time range"),
        ({"telemetry": {"query": "index=a | delete"}}, "only read"),
        ({"telemetry": {"query": "index=a", "language": "kql"}}, "not spl"),
        ({"alert": {"query": "| tstats count where index=a"}}, "no pipe"),
    ],
    ids=str,
)
async def test_a_question_without_a_scope_is_not_asked(head: SearchHead, config: dict[str, Any], words: str) -> None:
    result = await head.look(config)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID)
    assert words in str(result.result_metadata)
    assert not head.asked


async def test_a_query_without_an_index_is_asked_of_the_one_of_the_settings(head: SearchHead) -> None:
    await head.look({"telemetry": {"query": "a OR b | stats count by host"}})
    assert head.searches[0].startswith('search index="main" (a OR b) | stats count by host | head ')
    nowhere = await head.look({"telemetry": {"query": "a OR b"}}, index=None)
    assert nowhere.reason is Reason.QUERY_INVALID


async def test_several_indexes_are_searched_and_each_has_to_be_there(head: SearchHead) -> None:
    await head.look({"telemetry": {"query": "x", "index": "win, linux"}})
    assert head.searches[0].startswith('search (index="win" OR index="linux") (x) | head ')
    assert len(head.searches) == 3


async def test_a_query_that_begins_with_a_pipe_is_asked_as_it_is(head: SearchHead) -> None:
    await head.look({"telemetry": {"query": "| tstats count where index=main by host"}})
    assert head.searches[0].startswith("| tstats count where index=main by host | head ")


async def test_as_many_rows_as_its_own_limit_prove_nothing(head: SearchHead) -> None:
    limited = {"telemetry": {"query": "index=main | head 1"}}
    head.rows["main"] = [a_row(host="dc01")]
    assert (await head.look(limited)).telemetry is Answer.UNKNOWN
    head.rows["main"] = []
    assert (await head.look(limited)).telemetry is Answer.NO


async def test_one_event_for_each_host_may_not_be_the_one_that_is_wanted(head: SearchHead) -> None:
    head.rows["main"] = [a_row(_time=(ENDED + timedelta(minutes=20)).isoformat())]
    assert (await head.look({"telemetry": {"query": "index=main | dedup host"}})).telemetry is Answer.UNKNOWN


async def test_a_crowd_of_alerts_is_asked_again_for_the_host_and_the_rule(head: SearchHead) -> None:
    other = a_row(dest="dc01", rule_name="Other", orig_time=STARTED.isoformat())
    head.rows["notable"] = [{**other, "event_id": str(number)} for number in range(1001)]
    await head.look(ALERT)
    first, second, third = (search for search in head.searches if "eventcount" not in search)
    assert "ws01" not in first
    assert 'dest="*ws01*" OR ' in second
    assert 'dest="*.*.*.*" OR ' in second
    assert '(NOT dest=* OR dest IN ("", "-", ' in second
    assert 'search_name="LSASS dump"' in third


NARROWED = [
    ({}, Answer.UNKNOWN),
    ({"dest": "unknown"}, Answer.UNKNOWN),
    ({"dest": "Unknown", "src": "-", "dvc": "localhost"}, Answer.UNKNOWN),
    ({"orig_host": "10.0.0.9"}, Answer.UNKNOWN),
    ({"dest": "ws99"}, Answer.NO),
    ({"ComputerName": "WS01.corp.example"}, Answer.YES),
]


@pytest.mark.parametrize(("tells", "answer"), NARROWED, ids=str)
async def test_an_alert_in_a_crowd_is_judged_as_it_is_without_one(
    head: SearchHead, tells: dict[str, Any], answer: Answer
) -> None:
    raised = a_row(index="notable", rule_name="LSASS dump", orig_time=STARTED.isoformat(), host="sh")
    crowd = [{**raised, "dest": "ws99", "_cd": f"2:{number}"} for number in range(1001)]
    for others in ([], crowd):
        held = {"notable": [*others, {**raised, **tells}]}
        head.rows_of = lambda search, held=held: list(rows_of(search, held, lambda _: True))  # type: ignore[method-assign,misc]
        assert (await head.look(ALERT)).alert is answer, len(others)


async def test_a_condition_on_alerts_narrows_them(head: SearchHead) -> None:
    await head.look({"alert": {"rule": "LSASS dump", "query": "urgency=high OR x | where dest=${agent_host}"}})
    assert head.searches[0].startswith('search index="notable" (urgency=high OR x) | where dest="ws01" | head ')


async def test_the_self_check_tells_what_a_person_wants_to_know(head: SearchHead) -> None:
    about = {
        "/server/info": {"version": "9.4.1"},
        "/authentication/current-context": {"capabilities": ["search", "delete_by_keyword", "output_file"]},
    }
    newest = {"_time": ENDED.isoformat(), "_indextime": str(ENDED.timestamp() + 40)}
    head.rows = {"main": [newest], "notable": [newest]}

    def answer(request: httpx.Request) -> httpx.Response:
        route = request.url.path.removeprefix("/services")
        if route not in about:
            return SplunkStage.found(head, request)
        date = {"Date": "Fri, 20 Nov 2026 19:50:39 GMT"}
        return httpx.Response(200, json={"entry": [{"content": about[route]}]}, headers=date)

    head.found = answer  # type: ignore[method-assign]
    health = await head.detector(clock=KitClock()).self_check()
    assert health.ok
    assert "Splunk 9.4.1; clock +20 s" in health.detail
    assert "alerts in notable can be read; newest alert 22 minutes old, stored 40 s later" in health.detail
    assert "events in main can be read; newest event 22 minutes old" in health.detail
    assert "may delete_by_keyword, output_file, which it does not need" in health.detail


async def test_what_was_not_searched_in_whole_is_no_health(head: SearchHead) -> None:
    head.suffer(Trouble.PARTIAL)
    health = await head.detector(clock=KitClock()).self_check()
    assert health.ok is False
    assert PEER_AWAY in health.detail


async def test_an_account_that_may_not_see_its_capabilities_is_well(head: SearchHead) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/current-context"):
            return said(403, "ERROR", "forbidden")
        return SplunkStage.found(head, request)

    head.found = answer  # type: ignore[method-assign]
    health = await head.detector(clock=KitClock()).self_check()
    assert health.ok
    assert "does not need" not in health.detail


async def test_an_index_that_may_not_be_searched_is_no_health(head: SearchHead) -> None:
    head.rows_of = lambda _: []  # type: ignore[method-assign,assignment]
    health = await head.detector(clock=KitClock()).self_check()
    assert health.ok is False
    assert "the index notable is not there, or not for this account" in health.detail


async def test_a_search_head_that_hangs_is_left_in_time(head: SearchHead) -> None:
    head.suffer(Trouble.HANGS)
    detector = SplunkStage.detector(head, clock=KitClock())
    result = await run_task(detector, a_task(detection_config=SEARCH | {"timeout": 0.2}, timing=None), SETTINGS)
    await detector.close()
    assert result.reason is Reason.BACKEND_UNREACHABLE
