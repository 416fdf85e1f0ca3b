"""Fired alerts: what every Splunk keeps of the saved searches that raised one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from checking_core import BackendUnreachableError, SearchRequest
from checking_core.matching.question import same_name
from checking_core.plugin.fields import moment_at, texts_at, values_at
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.jobs import Jobs

__all__ = ["FIRED_ALERTS", "FiredAlerts", "FiredResult"]

FIRED_ALERTS = "/servicesNS/-/-/alerts/fired_alerts"
"""Those of every app and owner that the account may see."""
_ALL = "-"
_PAGE = 1000
_MOST_PAGES = 50


class FiredResult(NamedTuple):
    """One result of an alert; an empty ``row`` where its results are gone, so that nobody knows whose it was."""

    fired: Mapping[str, Any]
    row: Mapping[str, Any]
    number: int


class FiredAlerts:
    """The alerts of one backend, with the results that they were raised for."""

    def __init__(self, client: SplunkClient, jobs: Jobs) -> None:
        self._client = client
        self._jobs = jobs

    async def results(self, request: SearchRequest) -> tuple[list[FiredResult], float | None]:
        """The results of the alerts of a window, not many more than are wanted, and the clock's offset.

        Raises:
            DetectionError: they cannot be told.
        """
        fired, offset = await self._fired()
        wanted = {sid: one for one in fired if _is_wanted(one, request) for sid in texts_at(one, "sid")}
        found: list[FiredResult] = []
        for sid, one in wanted.items():
            job = await self._jobs.rows_of(sid, request.limit + 1 - len(found))
            rows: list[dict[str, Any]] = (job.rows if job else []) or [{}]
            found += [FiredResult(one, row, number) for number, row in enumerate(rows)]
            if len(found) > request.limit:
                break
        return found, offset

    async def _fired(self) -> tuple[list[Mapping[str, Any]], float | None]:
        """All that are still kept. A Splunk on which none ever fired has no list of all of them."""
        groups, offset = await self._page(FIRED_ALERTS, 0)
        if not groups:
            return [], offset
        found: list[Mapping[str, Any]] = []
        for _ in range(_MOST_PAGES):
            page, offset = await self._page(f"{FIRED_ALERTS}/{_ALL}", len(found))
            found += page
            if len(page) < _PAGE:
                return found, offset
        raise BackendUnreachableError(f"there are more than {_MOST_PAGES * _PAGE} fired alerts")

    async def _page(self, route: str, offset: int) -> tuple[list[Mapping[str, Any]], float | None]:
        reply = await self._client.ask("GET", route, params={"count": _PAGE, "offset": offset})
        answer = reply.json()
        if not isinstance(answer.get("entry"), list):
            raise BackendUnreachableError("answered 200 with something that is no list of fired alerts")
        contents = [one for one in values_at(answer, "entry.content") if isinstance(one, Mapping)]
        return contents, reply.clock_offset


def _is_wanted(fired: Mapping[str, Any], request: SearchRequest) -> bool:
    moment = moment_at(fired, "trigger_time")
    if moment is None or not request.window.holds(moment):
        return False
    named = [name for name in (request.alert.rule, request.alert.rule_id) if name] if request.alert else []
    return not named or any(same_name(ours, theirs) for ours in named for theirs in texts_at(fired, "savedsearch_name"))
