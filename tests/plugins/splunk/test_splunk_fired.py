"""Fired alerts, where there are no notable events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import respx

from checking_core import Answer, Outcome, Reason
from checking_core.testing import ENDED, STARTED
from checking_plugin_splunk.records import fired_of

from .splunk_head import ALERT, SearchHead, a_page, a_row
from .splunk_stage import PEER_AWAY, said


class Fired(SearchHead):
    """A search head without Enterprise Security."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__(router)
        self.alerts: list[dict[str, Any]] = []
        self.groups: list[str] = ["-", "LSASS dump"]
        self.saved: list[dict[str, Any]] = [{"name": "LSASS dump", "content": {}}]
        self.messages: list[dict[str, str]] = []
        self.gap: list[dict[str, str]] = []
        self.most = 1000
        self.total: int | None = None

    def found(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/saved/searches"):
            return httpx.Response(200, json={"paging": {"total": len(self.saved)}, "entry": self.saved})
        if request.url.path.endswith("/alerts/fired_alerts"):
            return self.listed([{"triggered_alert_count": 1} for _ in self.groups])
        if request.url.path.endswith("/alerts/fired_alerts/-"):
            first = int(request.url.params["offset"])
            return self.listed(self.alerts[first : first + min(int(request.url.params["count"]), self.most)])
        if request.url.path.endswith("/results") and "scheduler" in request.url.path:
            sid = request.url.path.split("/")[-2]
            rows = self.jobs.get(sid)
            return (
                said(404, "FATAL", "Unknown sid.")
                if rows is None
                else httpx.Response(200, json=a_page(*rows[int(request.url.params["offset"]) :], messages=self.gap))
            )
        return super().found(request)

    def listed(self, contents: list[dict[str, Any]]) -> httpx.Response:
        paging = {} if self.total is None else {"paging": {"total": self.total}}
        entries = [{"name": "x", "content": one} for one in contents]
        return httpx.Response(200, json={**paging, "messages": self.messages, "entry": entries})

    def fire(self, rule: str, at: datetime, *rows: dict[str, Any]) -> None:
        sid = f"scheduler__admin__search__RMD5_at_{len(self.alerts)}"
        self.alerts.append(
            {
                "savedsearch_name": rule,
                "trigger_time": int(at.timestamp()),
                "severity": 4,
                "sid": sid,
                "triggered_alerts": 1,
            }
        )
        self.jobs |= {sid: list(rows)} if rows else {}


@pytest.fixture
def fired() -> Iterator[Fired]:
    with respx.mock(assert_all_called=False) as router:
        yield Fired(router)


async def test_a_fired_alert_is_one_for_each_of_its_results(fired: Fired) -> None:
    at = ENDED + timedelta(seconds=60)
    fired.fire("LSASS dump", at, a_row(host="dc01"), a_row(host="ws01"))
    result = await fired.look(ALERT, alert_source="fired", web_url="https://splunk.example:8000/")
    assert (result.outcome, result.alert_at) == (Outcome.ALERTED, at)
    (evidence,) = result.parsed_results.evidence
    assert evidence.id == "scheduler__admin__search__RMD5_at_0:1"
    assert evidence.url == "https://splunk.example:8000/app/search/@go?sid=scheduler__admin__search__RMD5_at_0"


@pytest.mark.parametrize(
    ("rule", "at"),
    [("Another", ENDED), ("LSASS dump", STARTED - timedelta(hours=3)), ("LSASS dump", STARTED + timedelta(days=3))],
)
async def test_what_another_search_or_another_time_fired_is_no_hit(fired: Fired, rule: str, at: datetime) -> None:
    fired.fire(rule, at, a_row(_time=at.isoformat()))
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.NO


async def test_where_nothing_ever_fired_there_is_silence(fired: Fired) -> None:
    fired.groups = []
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.NO
    assert [one.url.path.split("/")[-1] for one in fired.asked] == ["fired_alerts", "searches"]


@pytest.mark.parametrize("groups", [[], ["-", "Another"]], ids=["none fired", "some fired"])
async def test_an_account_that_may_see_no_saved_search_sees_no_silence(fired: Fired, groups: list[str]) -> None:
    fired.groups, fired.saved = groups, []
    result = await fired.look(ALERT, alert_source="fired")
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_AUTH_FAILED)
    fired.groups = ["-", "LSASS dump"]
    fired.fire("LSASS dump", ENDED, a_row())
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


@pytest.mark.parametrize("rows", [[], [a_row(host="dc01")]], ids=["no results", "results of a neighbour"])
async def test_saved_searches_that_cannot_be_told_are_no_silence(fired: Fired, rows: list[dict[str, Any]]) -> None:
    fired.groups = ["-", "LSASS dump"] if rows else []
    for row in rows:
        fired.fire("LSASS dump", ENDED, row)
    fired.saved = [{"name": "LSASS dump"}]
    result = await fired.look(ALERT, alert_source="fired")
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_UNREACHABLE)


@pytest.mark.parametrize(
    ("saved", "reason"),
    [
        ({"name": "Another", "content": {}}, Reason.RULE_MISSING),
        ({"name": "lsass dump", "content": {"disabled": True}}, Reason.RULE_DISABLED),
        ({"name": "LSASS dump", "content": {"disabled": "0", "is_scheduled": "0"}}, Reason.RULE_DISABLED),
        ({"name": "LSASS dump", "content": {"disabled": False, "is_scheduled": True}}, Reason.DEADLINE_PASSED),
    ],
    ids=str,
)
async def test_a_saved_search_that_could_not_fire_is_told(fired: Fired, saved: dict[str, Any], reason: Reason) -> None:
    fired.saved = [saved]
    assert (await fired.look(ALERT, alert_source="fired")).reason is reason


async def test_an_alert_whose_results_are_gone_is_no_silence(fired: Fired) -> None:
    fired.fire("LSASS dump", ENDED)
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.UNKNOWN
    fired.alerts.clear()
    fired.fire("Another", ENDED)
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.NO


async def test_every_fired_alert_is_seen_however_many_there_are(fired: Fired) -> None:
    for _ in range(1000):
        fired.fire("Another", STARTED - timedelta(days=1), a_row())
    fired.fire("LSASS dump", ENDED, a_row())
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


@pytest.mark.parametrize("total", [101, None])
async def test_pages_that_are_shorter_than_asked_for_are_read_to_the_end(fired: Fired, total: int | None) -> None:
    for _ in range(100):
        fired.fire("Another", ENDED, a_row(host="dc01"))
    fired.fire("LSASS dump", ENDED, a_row())
    fired.most, fired.total = 100, total
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


async def test_fired_alerts_that_were_not_handed_over_are_no_silence(fired: Fired) -> None:
    fired.fire("Another", ENDED, a_row(host="dc01"))
    fired.total = 2
    result = await fired.look(ALERT, alert_source="fired")
    assert (result.alert, result.reason) == (Answer.UNKNOWN, Reason.BACKEND_PARTIAL_ANSWER)
    fired.groups, fired.alerts = [], []
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.UNKNOWN


@pytest.mark.parametrize("kind", ["FATAL", "ERROR"])
@pytest.mark.parametrize("groups", [[], ["-", "LSASS dump"]], ids=["none fired", "some fired"])
async def test_a_failure_beside_a_list_of_alerts_is_no_silence(fired: Fired, kind: str, groups: list[str]) -> None:
    fired.groups, fired.messages = groups, [{"type": kind, "text": "dispatch is not reachable"}]
    result = await fired.look(ALERT, alert_source="fired")
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER)


async def test_a_gap_in_the_results_of_an_alert_spoils_a_silence_and_no_hit(fired: Fired) -> None:
    fired.fire("LSASS dump", ENDED, a_row(host="dc01"))
    fired.gap = [{"type": "ERROR", "text": f"{PEER_AWAY} Results may be incomplete."}]
    silent = await fired.look(ALERT, alert_source="fired")
    assert (silent.alert, silent.reason) == (Answer.UNKNOWN, Reason.BACKEND_PARTIAL_ANSWER)
    fired.fire("LSASS dump", ENDED, a_row())
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


async def test_a_list_with_something_else_in_it_is_an_outage(fired: Fired) -> None:
    fired.alerts = [None]  # type: ignore[list-item]
    assert (await fired.look(ALERT, alert_source="fired")).reason is Reason.BACKEND_UNREACHABLE


async def test_an_alert_that_does_not_tell_when_it_fired_is_judged_by_its_results(fired: Fired) -> None:
    fired.fire("LSASS dump", ENDED, a_row())
    fired.alerts[0]["trigger_time"] = "soon"
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


async def test_a_result_for_a_span_lies_in_all_of_it(fired: Fired) -> None:
    begins = (STARTED - timedelta(minutes=40)).isoformat()
    fired.fire("LSASS dump", ENDED, a_row(_time=begins, _span="3600"))
    assert (await fired.look(ALERT, alert_source="fired")).alert is Answer.YES


async def test_no_more_results_are_fetched_than_are_wanted(fired: Fired) -> None:
    for number in range(3):
        fired.fire("Another", ENDED, *(a_row(_cd=f"{number}:{row}", host="dc01") for row in range(600)))
    assert (await fired.look({"alert": {"query": None}}, alert_source="fired")).alert is Answer.UNKNOWN
    fetched = {request.url.path for request in fired.asked if request.url.path.endswith("/results")}
    assert len(fetched) == 2


async def test_an_answer_that_is_no_list_of_alerts_is_an_outage(fired: Fired) -> None:
    fired.say("poll", httpx.Response(200, json={"links": {}}))
    fired.found = lambda request: SearchHead.found(fired, request)  # type: ignore[method-assign]
    assert (await fired.look(ALERT, alert_source="fired")).reason is Reason.BACKEND_UNREACHABLE


async def test_fired_alerts_take_no_query(fired: Fired) -> None:
    result = await fired.look({"alert": {"query": "x"}}, alert_source="fired")
    assert result.reason is Reason.QUERY_INVALID


def test_a_number_of_severity_is_a_word() -> None:
    words = [fired_of({"severity": number}, {}, 0).severity for number in (1, 2, 3, 4, 5, 6, 7, "x")]
    assert words == ["informational", "low", "medium", "high", "critical", "critical", None, None]
