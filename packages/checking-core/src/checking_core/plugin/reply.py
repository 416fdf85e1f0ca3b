"""A backend's answer in core's words: translated once, for all the looks that share it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from checking_core.contracts import Ask, Reason
from checking_core.errors import FatalDetectionError
from checking_core.matching.record import Alert, AnyRecord
from checking_core.matching.window import Window
from checking_core.plugin.search import SearchAnswer, SearchRequest

__all__ = ["Reply", "reply_to"]

_UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. ``raw`` holds the backend's own form of each record, by id.

    ``crowded``: there was more than the limit, so that a narrower question would be told more.
    """

    records: tuple[AnyRecord, ...]
    raw: Mapping[str, Mapping[str, Any]]
    complete: bool
    crowded: bool
    reason: Reason | None
    query_sent: str | None
    messages: tuple[str, ...]
    clock_offset: float | None

    @property
    def lasting(self) -> bool:
        """Whether asking the same again would bring the same: not where a part of the data was away."""
        return self.complete or self.crowded

    def narrowed(self, narrower: Reply) -> Reply:
        """What a narrower question was told, with the records of this one: it may have missed some of them."""
        return msgspec.structs.replace(
            narrower,
            records=(*self.records, *narrower.records),
            raw={**self.raw, **narrower.raw},
            messages=(*self.messages, *narrower.messages),
        )

    def warned(self, message: str) -> Reply:
        """The same with one more message."""
        return msgspec.structs.replace(self, messages=(*self.messages, message))

    def candidates(self, searched: Window) -> list[AnyRecord]:
        """The records of this window: a search that serves many looks found others besides."""
        return [record for record in self.records if _touches(record, searched)]


def reply_to(request: SearchRequest, answer: SearchAnswer, normalise: Callable[[Any], AnyRecord]) -> Reply:
    """Translate an answer.

    A record that cannot be read may be the one that is wanted: the answer is then as incomplete as one that lacks it.

    Raises:
        FatalDetectionError: ``normalise`` broke its contract.
    """
    records: list[AnyRecord] = []
    raw: dict[str, Mapping[str, Any]] = {}
    unread: Counter[str] = Counter()
    for record in answer.records[: request.limit]:
        try:
            translated = _checked(normalise(record), request.ask)
        except _UNREADABLE as error:
            unread[f"{type(error).__name__}: {error}"[:200]] += 1
            continue
        records.append(translated)
        raw[translated.id] = record
    beyond, full = len(answer.records) > request.limit, len(answer.records) >= request.limit
    complete = not full if answer.complete is None else answer.complete
    return Reply(
        records=tuple(records),
        raw=raw,
        complete=complete and not unread and not beyond,
        crowded=beyond or (full and not complete),
        reason=answer.reason or (Reason.PLUGIN_ERROR if unread else None),
        query_sent=answer.query_sent or request.query,
        messages=(*answer.messages, *(f"{count} unreadable: {problem}" for problem, count in unread.items())),
        clock_offset=answer.clock_offset,
    )


def _checked(record: AnyRecord, ask: Ask) -> AnyRecord:
    """The record, if it is one and all in it is of its kind: what is not would be read otherwise than it is meant.

    Raises:
        FatalDetectionError: it is none.
        ValueError: a field holds something else than it says.
    """
    name = type(record).__name__
    if not isinstance(record, AnyRecord):
        raise FatalDetectionError(f"normalise made {name} of a record, which is none of Alert, Match and Event")
    if ask is Ask.ALERT and not isinstance(record, Alert):
        raise FatalDetectionError(f"normalise made {name} of what the alert store returned: only an Alert is one")
    try:
        return msgspec.convert(msgspec.structs.asdict(record), type(record))
    except msgspec.ValidationError as error:
        raise ValueError(f"normalise made no sense of it: {error}") from error


def _touches(record: AnyRecord, window: Window) -> bool:
    """Whether any of its times lies there: backends search by different ones. One without times may."""
    spans: list[tuple[datetime | None, datetime | None]] = [
        (record.event_at, record.event_until),
        (record.indexed_at, None),
        (record.created_at if isinstance(record, Alert) else None, None),
    ]
    told = [(start, end) for start, end in spans if start is not None]
    return not told or any(window.holds(start, end) for start, end in told)
