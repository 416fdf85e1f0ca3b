"""Fired alerts: what every Splunk keeps of the saved searches that raised one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from checking_core import BackendPartialAnswerError, BackendUnreachableError, Rule, SearchRequest
from checking_core.matching.question import same_name
from checking_core.plugin.fields import moment_at, number_at, texts_at
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.jobs import Jobs
from checking_plugin_splunk.messages import gaps_in, messages_in, raise_failure

__all__ = ["FIRED_ALERTS", "FiredAlerts", "FiredFound", "FiredResult"]

FIRED_ALERTS = "/servicesNS/-/-/alerts/fired_alerts"
"""Those of every app and owner that the account may see."""
_SAVED_SEARCHES = "/servicesNS/-/-/saved/searches"
_ALL = "-"
_PAGE = 1000
_MOST = 50_000


class FiredResult(NamedTuple):
    """One result of an alert; an empty ``row`` where its results are gone, so that nobody knows whose it was."""

    fired: Mapping[str, Any]
    row: Mapping[str, Any]
    number: int


class FiredFound(NamedTuple):
    """Results, what they lack in words, and the product's clock minus ours in seconds."""

    results: list[FiredResult]
    gaps: tuple[str, ...]
    clock_offset: float | None


class _Listed(NamedTuple):
    """The entries of a list, or of one page of it, with how many there are in all if that is told."""

    entries: list[Mapping[str, Any]]
    total: int | None
    gaps: tuple[str, ...]
    clock_offset: float | None


class FiredAlerts:
    """The alerts of one backend, with the results that they were raised for."""

    def __init__(self, client: SplunkClient, jobs: Jobs) -> None:
        self._client = client
        self._jobs = jobs

    async def results(self, request: SearchRequest) -> FiredFound:
        """The results of the alerts of a window, not many more than are wanted.

        Raises:
            DetectionError: they cannot be told.
        """
        fired = await self._fired()
        contents = (entry["content"] for entry in fired.entries)
        wanted = {sid: one for one in contents if _is_wanted(one, request) for sid in texts_at(one, "sid")}
        found: list[FiredResult] = []
        gaps = [*fired.gaps]
        for sid, one in wanted.items():
            job = await self._jobs.rows_of(sid, request.limit + 1 - len(found))
            rows: list[dict[str, Any]] = (job.rows if job else []) or [{}]
            found += [FiredResult(one, row, number) for number, row in enumerate(rows)]
            gaps += job.gaps if job else ()
            if len(found) > request.limit:
                break
        return FiredFound(found, tuple(dict.fromkeys(gaps)), fired.clock_offset)

    async def saved_searches(self) -> list[Rule]:
        """Those that the account may see: of others it sees no alerts either.

        Raises:
            DetectionError: they cannot be told.
        """
        listed = await self._listed(_SAVED_SEARCHES)
        if listed.gaps:
            raise BackendPartialAnswerError("; ".join(listed.gaps))
        return [rule for entry in listed.entries for rule in _rules_of(entry)]

    async def _fired(self) -> _Listed:
        """All that are still kept. A Splunk on which none ever fired has no list of all of them."""
        groups = await self._page(FIRED_ALERTS, 0)
        if not groups.entries and not groups.total:
            return groups
        return await self._listed(f"{FIRED_ALERTS}/{_ALL}")

    async def _listed(self, route: str) -> _Listed:
        """A list in whole: Splunk may hand over less at a time than it is asked for."""
        found: list[Mapping[str, Any]] = []
        gaps: list[str] = []
        while len(found) < _MOST:
            page = await self._page(route, len(found))
            found += page.entries
            gaps += page.gaps
            lacking = None if page.total is None else page.total - len(found)
            if page.entries and (lacking is None or lacking > 0):
                continue
            missing = (f"{lacking} of {page.total} were not handed over",) if lacking and lacking > 0 else ()
            return page._replace(entries=found, gaps=(*gaps, *missing))
        raise BackendUnreachableError(f"there are more than {_MOST} in {route}")

    async def _page(self, route: str, offset: int) -> _Listed:
        reply = await self._client.ask("GET", route, params={"count": _PAGE, "offset": offset})
        answer = reply.json()
        said = messages_in(answer)
        raise_failure(said)
        entries = answer.get("entry")
        if not isinstance(entries, list) or not all(map(_is_entry, entries)):
            raise BackendUnreachableError(f"answered 200 with something that is no list of {route}")
        return _Listed(entries, number_at(answer, "paging.total"), gaps_in(said), reply.clock_offset)


def _is_entry(entry: object) -> bool:
    return isinstance(entry, Mapping) and isinstance(entry.get("content"), Mapping)


def _rules_of(entry: Mapping[str, Any]) -> list[Rule]:
    told = {name: str(entry["content"].get(name)).lower() for name in ("disabled", "is_scheduled")}
    idle = told["disabled"] in ("1", "true") or told["is_scheduled"] in ("0", "false")
    return [Rule(id=name, name=name, enabled=not idle) for name in texts_at(entry, "name")]


def _is_wanted(fired: Mapping[str, Any], request: SearchRequest) -> bool:
    moment = moment_at(fired, "trigger_time")
    if moment is not None and not request.window.holds(moment):
        return False
    named = [name for name in (request.alert.rule, request.alert.rule_id) if name] if request.alert else []
    return not named or any(same_name(ours, theirs) for ours in named for theirs in texts_at(fired, "savedsearch_name"))
