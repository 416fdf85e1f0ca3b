"""Answers that serve many looks: two hundred executions on one host ask the same questions again and again.

A search is widened to the quarter of an hour around it and up to the present, so that the next look over a window
nearby finds its answer here. A look takes a kept answer only if that covers its window and its search began late enough
to prove what the look has to prove.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import msgspec

from checking_core.contracts import DetectionConfig
from checking_core.matching.window import Window
from checking_core.plugin.search import SearchAnswer, SearchRequest

__all__ = ["Kept", "Shelf", "covers", "widened"]

_GRID = timedelta(minutes=15)
_RECENT = timedelta(hours=1)
"""A window that ended longer ago is not searched up to the present."""
_MOST_KEPT = 64
_MOST_RECORDS = 50_000


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, the window that was searched, and when that began."""

    answer: SearchAnswer
    window: Window
    began: datetime


class _Search(msgspec.Struct, eq=False):
    """A search under way, and how many looks wait for it."""

    window: Window
    began: datetime
    task: asyncio.Task[Kept]
    waiting: int = 0


class Shelf:
    """The answers of one backend.

    Args:
        search: asks the backend.
        clock: the present time.
    """

    def __init__(
        self, search: Callable[[SearchRequest], Awaitable[SearchAnswer]], clock: Callable[[], datetime]
    ) -> None:
        self._search = search
        self._clock = clock
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._under_way: dict[bytes, _Search] = {}

    async def answer(self, request: SearchRequest, *, begun_after: datetime) -> Kept:
        """The answer to a request, asked for or kept.

        Args:
            request: what to ask.
            begun_after: the earliest beginning of the search that will do.

        Raises:
            DetectionError: the search's.
        """
        key = _question(request)
        for known in (self._kept.get(key), self._under_way.get(key)):
            if known is None or known.began < begun_after or not covers(known.window, known.began, request.window):
                continue
            return known if isinstance(known, Kept) else await _joined(known)
        began = self._clock()
        window = widened(request.window, began)
        search = _Search(window, began, asyncio.create_task(self._searched(key, request, window, began)))
        self._under_way[key] = search
        search.task.add_done_callback(lambda _: self._forget(key, search))
        return await _joined(search)

    def _forget(self, key: bytes, search: _Search) -> None:
        if self._under_way.get(key) is search:
            del self._under_way[key]

    async def _searched(self, key: bytes, request: SearchRequest, window: Window, began: datetime) -> Kept:
        answer = await self._search(msgspec.structs.replace(request, window=window))
        if not answer.complete and window != request.window:  # too much came back, perhaps: ask for what is needed
            began, window = self._clock(), request.window
            answer = await self._search(request)
        kept = Kept(answer=answer, window=window, began=began)
        if answer.complete:
            self._keep(key, kept)
        return kept

    def _keep(self, key: bytes, kept: Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT or (len(self._kept) > 1 and self._records() > _MOST_RECORDS):
            self._kept.popitem(last=False)

    def _records(self) -> int:
        return sum(len(kept.answer.records) for kept in self._kept.values())


async def _joined(search: _Search) -> Kept:
    """Wait for a search with others; the last one who gives up ends it."""
    search.waiting += 1
    try:
        return await asyncio.shield(search.task)
    finally:
        search.waiting -= 1
        if not search.waiting:
            search.task.cancel()


def covers(searched: Window, began: datetime, wanted: Window) -> bool:
    """Whether a search saw all that another one could have seen then: what lies in the future cannot be found."""
    return searched.start <= wanted.start and searched.end >= min(wanted.end, began)


def widened(window: Window, now: datetime) -> Window:
    """The window from the full quarter of an hour before it up to the present, or to the one after it."""
    start, end = _floor(window.start), window.end
    if end < now - _RECENT:
        return Window(start, _floor(end) + _GRID)
    return Window(start, max(end, now))


def _floor(moment: datetime) -> datetime:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return moment - since % _GRID


def _question(request: SearchRequest) -> bytes:
    """The request without its window, and of its configuration only what the plugin added, as a key."""
    config = request.config.model_dump(mode="json", exclude=set(DetectionConfig.model_fields))
    alert = request.alert.model_dump(mode="json") if request.alert else None
    same = (request.ask, request.query, request.language, request.index, alert, sorted(request.hosts), request.limit)
    return msgspec.json.encode([same, config], order="deterministic")
