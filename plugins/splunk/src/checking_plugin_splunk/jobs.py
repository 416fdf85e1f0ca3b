"""Search jobs in normal mode: created, awaited, read page by page, and always deleted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote

from checking_core import BackendUnreachableError, DetectionError
from checking_core.matching.window import Window
from checking_core.plugin.fields import number_at, texts_at, values_at
from checking_core.plugin.http import HttpReply
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.messages import Message, gaps_in, messages_in, raise_failure

__all__ = ["Found", "Jobs"]

_ROUTES = ("search/v2/jobs", "search/jobs")
"""Since Splunk 9.0.2, and before."""
_PAGE = 1000
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_ABANDONED = 60
"""Seconds without a poll after which Splunk ends a job by itself: we may have died, or never heard its id."""
_KEPT = 120
"""Seconds for which Splunk keeps the results of a job that nobody deletes."""
_PATIENCE_TO_DELETE = 3.0
_MISSING = frozenset({404})


class Found(NamedTuple):
    """The rows of a search, what it lacks in words, and the product's clock minus ours in seconds."""

    rows: list[dict[str, Any]]
    gaps: tuple[str, ...]
    clock_offset: float | None


class _GoneError(Exception):
    """The job was deleted or had expired while we waited for it."""


class Jobs:
    """The searches of one backend.

    Args:
        client: of it.
        sleep: how to wait between two polls.
    """

    def __init__(self, client: SplunkClient, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._client = client
        self._sleep = sleep
        self._route = _ROUTES[0]

    async def run(self, search: str, window: Window, *, most: int, seconds: float) -> Found:
        """Run a search to its end, and once more if its job disappears.

        Args:
            search: as Splunk gets it.
            window: of the time of events, both ends included.
            most: rows that are wanted.
            seconds: for which Splunk may work on it.

        Raises:
            DetectionError: it cannot be answered.
        """
        form = {
            "search": search,
            "exec_mode": "normal",
            "earliest_time": f"{window.start.timestamp():.3f}",
            "latest_time": f"{window.end.timestamp() + 0.001:.3f}",  # the end is excluded
            "adhoc_search_level": "smart",
            "allow_partial_results": "false",
            "max_count": most,
            "max_time": math.ceil(seconds),
            "auto_cancel": _ABANDONED,
            "timeout": _KEPT,
        }
        with suppress(_GoneError):
            return await self._once(form, most)
        try:
            return await self._once(form, most)
        except _GoneError:
            raise BackendUnreachableError("the job was ended by somebody else, twice") from None

    async def rows_of(self, sid: str, most: int) -> Found | None:
        """The rows of a job that somebody else ran; ``None`` if it is gone."""
        for route in dict.fromkeys((self._route, *_ROUTES)):
            with suppress(_GoneError):
                return await self._rows(sid, most, route=route)
        return None

    async def _once(self, form: Mapping[str, Any], most: int) -> Found:
        async with self._job(form) as sid:
            content = await self._awaited(sid, form["max_time"])
            gaps = _gaps_of(content)
            counted = number_at(content, "resultCount")
            found = await self._rows(sid, most, expected=counted)
        lacking = min(counted or 0, most) - len(found.rows)
        missing = (f"{lacking} rows were not handed over",) if lacking > 0 else ()
        return found._replace(gaps=(*gaps, *missing, *found.gaps))

    @asynccontextmanager
    async def _job(self, form: Mapping[str, Any]) -> AsyncIterator[str]:
        sid = await self._created(form)
        try:
            yield sid
        finally:
            with suppress(DetectionError, TimeoutError):  # what is left behind ends by itself
                async with asyncio.timeout(_PATIENCE_TO_DELETE):
                    await self._client.ask("DELETE", self._path(sid), accept=_MISSING)

    async def _created(self, form: Mapping[str, Any]) -> str:
        newest, older = _ROUTES
        accept = _MISSING if self._route == newest else frozenset[int]()
        reply = await self._client.ask("POST", self._route, data=form, accept=accept)
        if reply.status == 404:
            reply = await self._client.ask("POST", older, data=form)
            self._route = older
        answer = reply.json()
        raise_failure(messages_in(answer))
        for sid in texts_at(answer, "sid"):
            return sid
        raise BackendUnreachableError("a search was answered with something that is no job")

    async def _awaited(self, sid: str, seconds: float) -> Mapping[str, Any]:
        """The job once it is done. One that is queued or paused may never be."""
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(seconds):
                while (content := await self._ended(sid)) is None:
                    await self._sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except TimeoutError as error:
            raise BackendUnreachableError(f"the job was not done within {seconds:g} s") from error
        return content

    async def _ended(self, sid: str) -> Mapping[str, Any] | None:
        reply = self._there(await self._client.ask("GET", self._path(sid), accept=_MISSING))
        if reply.status == 204:
            return None
        content = _content_of(reply)
        return content if any(_is(content, flag) for flag in ("isDone", "isFailed", "isZombie")) else None

    async def _rows(self, sid: str, most: int, *, expected: int | None = None, route: str | None = None) -> Found:
        rows: list[dict[str, Any]] = []
        said: list[Message] = []
        while True:
            page = {"offset": len(rows), "count": min(_PAGE, most - len(rows))}
            path = f"{self._path(sid, route)}/results"
            reply = self._there(await self._client.ask("GET", path, params=page, accept=_MISSING))
            part = [] if reply.status == 204 else _rows_in(reply)
            said += [] if reply.status == 204 else messages_in(reply.json())
            rows += part
            if not part or len(rows) >= (most if expected is None else min(most, expected)):
                raise_failure(said)
                return Found(rows, gaps_in(said), reply.clock_offset)

    def _path(self, sid: str, route: str | None = None) -> str:
        return f"{route or self._route}/{quote(sid, safe='')}"

    def _there(self, reply: HttpReply) -> HttpReply:
        if reply.status == 404:
            raise _GoneError
        return reply


def _content_of(reply: HttpReply) -> Mapping[str, Any]:
    found = values_at(reply.json(), "entry.content")
    if len(found) != 1 or not isinstance(found[0], Mapping):
        raise BackendUnreachableError("answered 200 with something that is no job")
    return found[0]


def _gaps_of(content: Mapping[str, Any]) -> tuple[str, ...]:
    """What a finished job has not seen.

    Raises:
        DetectionError: it has failed.
    """
    said = messages_in(content)
    raise_failure(said)
    if _is(content, "isFailed") or _is(content, "isZombie"):
        words = "; ".join(text for kind, text in said if kind in ("ERROR", "WARN"))[:300]
        raise BackendUnreachableError(f"the job failed: {words or 'without a word'}")
    ended = ("the search was ended before it had seen everything",) if _is(content, "isFinalized") else ()
    return (*ended, *gaps_in(said))


def _rows_in(reply: HttpReply) -> list[dict[str, Any]]:
    answer = reply.json()
    raise_failure(messages_in(answer))
    rows = answer.get("results")
    if not isinstance(rows, list) or answer.get("preview"):
        raise BackendUnreachableError("answered 200 with something that are no results")
    return [row for row in rows if isinstance(row, dict)]


def _is(content: Mapping[str, Any], flag: str) -> bool:
    """Versions write flags as JSON has them, as numbers, and as texts."""
    return str(content.get(flag)).lower() in ("true", "1")
