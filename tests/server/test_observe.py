"""Executions that nobody expects anything of: where that is wanted, the alerts of their host are listed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from checking_core.contracts import Ask, CheckStatus, Expect, MatchTier, Met, Outcome, Reason
from checking_core.errors import BackendUnreachableError
from checking_core.matching.record import Alert
from checking_core.plugin import NoSettings, SearchAnswer, SearchDetector, SearchRequest
from checking_core.report import ReportedCheck
from checking_core.settings import BackendSettings, PlanSettings, WorkerSettings
from checking_core.worker.run_task import run_task
from checking_server.bootstrap import planner
from checking_server.flow.accept import Accept
from checking_server.flow.report import report

from .conftest import ENDED, Clock, Stations, taken

Link = Callable[..., bytes]
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)


class AlertStore(SearchDetector):
    """Alerts of a product, and what it was asked."""

    platform = "siem"
    answers = frozenset({Ask.ALERT})

    def __init__(self, clock: Clock, *alerts: Mapping[str, Any]) -> None:
        super().__init__("siem", NoSettings(), clock=clock)
        self.alerts, self.asked, self.away = alerts, list[SearchRequest](), False

    async def search(self, request: SearchRequest) -> SearchAnswer:
        if self.away:
            raise BackendUnreachableError("connection refused")
        self.asked.append(request)
        return SearchAnswer(records=[alert for alert in self.alerts if request.window.holds(alert["at"])])

    def normalise(self, record: Mapping[str, Any]) -> Alert:
        return Alert(id=record["id"], title="odd", hosts=(record["host"],), event_at=record["at"])


def alert(name: str, seconds: float, host: str = "ws01") -> dict[str, Any]:
    """So many seconds after the execution ended."""
    moment: datetime = ENDED + timedelta(seconds=seconds)
    return {"id": name, "host": host, "at": moment}


@pytest.fixture
def observing(stations: Stations) -> Stations:
    """Stations without any expectation, whose one backend observes."""
    backends = {"siem": BackendSettings(plugin="siem", observe=True)}
    plan = planner(PlanSettings(), backends, max_retries=1)
    stations.accept = Accept(stations.store, plan, queue_wait=60, on_due=stations._wake)
    return stations


async def observed(stations: Stations, link: Link, product: AlertStore, *, after: float = 1300) -> ReportedCheck:
    """The check of an execution, asked so long after its end."""
    worker = await stations.serve("siem")
    await stations.accepts(link(detections=None))
    stations.clock.move(after)
    if await stations.dispatch():
        tasks = await taken(worker)
        await stations.gathers(*[await run_task(product, task, SETTINGS, clock=stations.clock) for task in tasks])
    (line,) = (await report(stations.store, "op")).lines
    assert line.check is not None
    assert line.check.expect is Expect.OBSERVE
    return line.check


async def test_all_alerts_of_the_host_in_the_window_are_listed(observing: Stations, link: Link) -> None:
    product = AlertStore(observing.clock, alert("soon", 1), alert("later", 800), alert("elsewhere", 2, host="ws02"))
    check = await observed(observing, link, product)
    assert (check.outcome, check.met, check.match_tier) == (Outcome.ALERTED, Met.YES, MatchTier.HOST)
    assert [record.id for record in check.evidence] == ["soon", "later"]
    assert check.near_misses == {Reason.ALERT_OTHER_HOST: 1}


async def test_a_host_that_has_alerts_all_day_is_listed_all_the_same(observing: Stations, link: Link) -> None:
    """Nothing is concluded from what is only listed, so that nothing has to be compared with before the operation."""
    usual = [alert(f"usual {hour}", -3600 * hour) for hour in range(1, 5)]
    check = await observed(observing, link, AlertStore(observing.clock, alert("soon", 1), *usual))
    assert (check.outcome, check.status) == (Outcome.ALERTED, CheckStatus.COMPLETED)
    assert [record.id for record in check.evidence] == ["soon"]


async def test_no_alert_is_nothing_to_complain_of(observing: Stations, link: Link) -> None:
    check = await observed(observing, link, AlertStore(observing.clock))
    assert (check.outcome, check.met, check.censored) == (Outcome.NO_ALERT, Met.YES, False)


async def test_an_outage_is_not_known(observing: Stations, link: Link) -> None:
    product = AlertStore(observing.clock)
    product.away = True
    check = await observed(observing, link, product, after=10_000)
    assert (check.outcome, check.met) == (Outcome.INCONCLUSIVE, Met.UNKNOWN)


async def test_it_is_asked_once_when_the_list_is_complete(observing: Stations, link: Link) -> None:
    product = AlertStore(observing.clock, alert("soon", 1), alert("later", 800))
    early = await observed(observing, link, product, after=100)
    assert (early.is_open, product.asked) == (True, [])
    assert early.next_look_at == early.deadline


async def test_who_observes_is_asked_nothing_where_something_is_expected(observing: Stations, link: Link) -> None:
    hint = {"detection_type": "api", "detection_platform": "siem", "detection_config": {"query": "x"}}
    await observing.accepts(link(detections=[hint]))
    (check,) = await observing.checks()
    assert check["expect"] is Expect.MATCHED
