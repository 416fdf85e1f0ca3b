"""Rules over files: read, filter before decoding, evaluate by the chunk, read on where the last scan ended."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from checking_plugin_sigma.evaluate.chunk import Chunk
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.normalise import event_of
from checking_plugin_sigma.events.reader import Mark, Reader, Record
from checking_plugin_sigma.events.routing import Logsource, Route, event_ids_of
from checking_plugin_sigma.events.source import said_for
from checking_plugin_sigma.rules.model import Rule

__all__ = ["Hit", "Scanner", "events_of", "wanted_fields"]

CHUNK = 4096
"""Events that are held at a time."""
_EVENT_ID = b'"EventID":'
_LOGSOURCE = b'"logsource"'
_MARK = b"\xef\xbb\xbf"
"""What some editors put in front of UTF-8."""
_decode = msgspec.json.Decoder().decode


class Hit(NamedTuple):
    """A rule and an event that fulfils it."""

    rule: Rule
    event: Event
    path: Path


class Scanner:
    """One set of rules over files that may grow.

    Args:
        rules: what is evaluated.
        logsources: log sources of files by pattern, where the events do not tell.
        progress: is told how many bytes were read, after each chunk.

    Attributes:
        events: how many events may concern one of the rules.
        left_out: how many cannot, which could be told before they were decoded.
        routes: how many of them there were of each log source.
        unreadable: files with records that could not be decoded, and how many.
        unfinished: files with records at their end that are not written to theirs, and how many.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        logsources: Mapping[str, Logsource] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.rules = rules
        self.events = self.left_out = 0
        self.unreadable: Counter[Path] = Counter()
        self.unfinished: Counter[Path] = Counter()
        self.routes: Counter[Route] = Counter()
        self._logsources = logsources or {}
        self._event_ids = event_ids_of(rule.logsource for rule in rules)
        self._progress = progress or (lambda _: None)
        self._wanted = wanted_fields(rules)
        self._by_logsource: dict[Logsource, list[Rule]] = {}
        for rule in rules:
            self._by_logsource.setdefault(rule.logsource, []).append(rule)
        self._marks: dict[Path, Mark] = {}

    def scan(self, path: Path) -> Iterator[Hit]:
        """The hits in what was added to a file since the last scan of it.

        Raises:
            BackendUnreachableError: the file cannot be read.
        """
        reader = Reader(path, self._marks.get(path))
        for events in self._read(reader):
            yield from self._evaluated([(path, events)])
        self._marks[path] = reader.mark

    def scan_all(self, paths: Iterable[Path]) -> Iterator[Hit]:
        """The hits in files that are read once: small ones are evaluated together.

        Raises:
            BackendUnreachableError: a file cannot be read.
        """
        batch: list[tuple[Path, list[Event]]] = []
        for path in paths:
            for events in self._read(Reader(path)):
                batch.append((path, events))
                if sum(len(some) for _, some in batch) >= CHUNK:
                    yield from self._evaluated(batch)
                    batch = []
        yield from self._evaluated(batch)

    def _read(self, reader: Reader) -> Iterator[list[Event]]:
        """The events of a file, counted."""
        before = reader.position
        for events in events_of(reader, said_for(reader.path, self._logsources), self._event_ids):
            self.events += len(events)
            self.routes.update(event.route for event in events)
            yield events
            self._progress(reader.position - before)
            before = reader.position
        self.left_out += reader.left_out
        if reader.anew:
            self.unreadable.pop(reader.path, None)
        if reader.unreadable:
            self.unreadable[reader.path] += reader.unreadable
        if not reader.unchanged:
            self.unfinished[reader.path] = reader.unfinished

    def _evaluated(self, batch: Sequence[tuple[Path, list[Event]]]) -> Iterator[Hit]:
        events = [event for _, some in batch for event in some]
        begins = list(accumulate((len(some) for _, some in batch), initial=0))
        chunk = Chunk(events, self._wanted)
        for logsource, rules in self._by_logsource.items():
            if not chunk.about(logsource):
                continue
            for rule in rules:
                for row in chunk.rows(rule):
                    yield Hit(rule, events[row], batch[bisect_right(begins, row) - 1][0])

    def is_replaced(self, path: Path) -> bool:
        """Whether the next scan of a file begins anew, so that its earlier hits count no more."""
        with Reader(path, self._marks.get(path)) as reader:
            return reader.anew

    def evaluable(self, rule: Rule) -> bool:
        """Whether there was any event of the rule's log source: one that had nothing to look at has said nothing."""
        return any(route.serves(rule.logsource) for route in self.routes)


def events_of(
    reader: Reader, said: Route | None, event_ids: frozenset[int] | None, size: int = CHUNK
) -> Iterator[list[Event]]:
    """The events of a file, some thousands at a time.

    Args:
        reader: of the file.
        said: where all of them belong, if somebody named that: then their ids tell nothing.
        event_ids: of Windows events that are wanted; ``None`` for all.
        size: how many are handed on together.
    """
    events: list[Event] = []
    event_ids = event_ids if said is None else None
    for record in reader:
        if event_ids is not None and _is_unwanted(record, event_ids):
            reader.left_out += 1
            continue
        told = _told(record)
        if not isinstance(told, dict):
            reader.unreadable += 1
            continue
        events += [event_of(one, record.line, record.raw, said) for one in _bundled(told)]
        if len(events) >= size:
            yield events
            events = []
    if events:
        yield events


def wanted_fields(rules: Sequence[Rule]) -> frozenset[str] | None:
    """The fields that rules name; ``None`` if one of them looks for words in any field."""
    if any(rule.reads_everything for rule in rules):
        return None
    return frozenset(field for rule in rules for field in rule.fields)


def _told(record: Record) -> Any:
    """What a record says; ``None`` if it cannot be decoded."""
    if record.told is not None:
        return record.told
    try:
        return _decode(record.raw.removeprefix(_MARK) if record.line == 1 else record.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _bundled(told: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The events of a record: CloudTrail delivers many in one."""
    records = told.get("Records")
    if isinstance(records, list) and all(isinstance(one, dict) for one in records):
        return records
    return (told,)


def _is_unwanted(record: Record, event_ids: frozenset[int]) -> bool:
    """Whether the text says, before it is decoded, that it is an event of another id.

    Only the plain form counts: one key ``EventID`` with a number. Whatever is written otherwise is decoded, and what
    names its log source.
    """
    raw = record.raw
    place = raw.find(_EVENT_ID)
    if place < 0 or raw.find(_EVENT_ID, place + 1) >= 0:
        return False
    begin = place + len(_EVENT_ID)
    digits = raw[begin : begin + 8].strip(b' "').partition(b",")[0].partition(b"}")[0].rstrip(b' "')
    return digits.isdigit() and int(digits) not in event_ids and _LOGSOURCE not in raw
