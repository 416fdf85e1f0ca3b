"""Answers that serve many looks: two hundred executions on one host ask the same questions again and again.

A search is widened so that the looks of a while find theirs in one answer, see ``widened``. A look takes an answer only
if that covers its window and is new enough: for a no that has to be proven, only if the search began when the look's
deadline had passed by the store's clock. How far that is from the worker's plays no part: what counts is what the store
had told by the time that the search began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from checking_core.contracts import DetectionConfig
from checking_core.matching.window import Window
from checking_core.plugin.reply import Reply
from checking_core.plugin.search import SearchRequest
from checking_core.plugin.shared import Call

__all__ = ["Need", "Shelf", "covers", "widened"]

_GRID = timedelta(minutes=15)
_RECENT = timedelta(hours=1)
"""A window that ended longer ago is not searched up to the present."""
_LONGEST_KEPT = timedelta(hours=2)
_MOST_KEPT = 200
_MOST_RECORDS = 20_000


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """How new an answer has to be.

    Its search began at most ``within`` ago and, where ``since`` is given, not before the store's clock showed that.
    """

    within: timedelta
    since: datetime | None = None


class _Search(msgspec.Struct, frozen=True, eq=False):
    """A search under way or done. ``began`` is the worker's time, ``told`` the latest that the store had told then."""

    question: bytes
    window: Window
    began: datetime
    told: datetime
    call: Call[Reply]

    def serves(self, asked: Window, wanted: Window, need: Need, now: datetime) -> bool:
        """Whether its answer will do. Who asks for no more than is wanted has seen that a wider answer is too much."""
        new = self.began >= now - need.within and (need.since is None or self.told >= need.since)
        wide = asked != wanted and covers(self.window, self.began, wanted)
        return new and (wide or self.window == asked)


class Shelf:
    """The answers of one backend.

    Args:
        search: asks the backend.
        clock: the present time.
    """

    def __init__(self, search: Callable[[SearchRequest], Awaitable[Reply]], clock: Callable[[], datetime]) -> None:
        self._search = search
        self._clock = clock
        self._told = datetime.min.replace(tzinfo=UTC)
        self._searches: list[_Search] = []

    def told(self, moment: datetime) -> None:
        """The store's clock shows this, or more."""
        self._told = max(self._told, moment)

    async def reply(self, request: SearchRequest, wanted: Window, need: Need) -> Reply:
        """The answer to a request, kept or asked for.

        Args:
            request: what to ask, if nothing kept will do.
            wanted: the window that matters.
            need: how new the answer has to be.

        Raises:
            DetectionError: the search's.
        """
        question, now = _question(request), self._clock()
        self._tidy(now)
        for search in reversed(self._searches):
            if search.question == question and search.serves(request.window, wanted, need, now):
                return await search.call.result()
        search = _Search(question, request.window, now, self._told, Call(partial(self._search, request)))
        self._searches.append(search)
        return await search.call.result()

    def _tidy(self, now: datetime) -> None:
        """Drop what failed, what is old, and the oldest of what is too much."""
        kept: list[_Search] = []
        records = 0
        for search in reversed(self._searches):
            reply = search.call.outcome
            records += len(reply.records) if reply else 0
            lasting = search.call.usable and (reply is None or reply.lasting)
            fits = records <= _MOST_RECORDS and len(kept) < _MOST_KEPT
            if lasting and search.began >= now - _LONGEST_KEPT and (fits or reply is None):
                kept.append(search)
        self._searches = kept[::-1]


def covers(searched: Window, began: datetime, wanted: Window) -> bool:
    """Whether a search saw all that another one could have seen then: what lies in the future cannot be found."""
    return searched.start <= wanted.start and searched.end >= min(wanted.end, began)


def widened(window: Window, now: datetime) -> Window:
    """The window with at least a quarter of an hour more on both sides, cut where every other one is.

    A recent one reaches beyond the present: the backend's clock may be ahead.
    """
    end = max(window.end, now) if window.end >= now - _RECENT else window.end
    return Window(_floor(window.start) - _GRID, _floor(end) + 2 * _GRID)


def _floor(moment: datetime) -> datetime:
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return moment - since % _GRID


def _question(request: SearchRequest) -> bytes:
    """The request without its window, and of its configuration only what a plugin may ask by, as a key."""
    common = set(DetectionConfig.model_fields) - {"target"}
    config = request.config.model_dump(mode="json", exclude=common)
    alert = request.alert.model_dump(mode="json") if request.alert else None
    same = (request.ask, request.query, request.language, request.index, alert, sorted(request.hosts), request.limit)
    return msgspec.json.encode([same, config], order="deterministic")
