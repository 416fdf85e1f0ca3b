"""What a detector knows of its telemetry: hits by question, and who reported what and when.

Every question keeps how far it has read, so that a look costs what was written since the last one. A second reading,
without any rule, keeps count of hosts, log sources and times: a rule may only be said to have been silent about a host
that reported such events, at a time when it reported at all.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from checking_core.errors import BackendUnreachableError
from checking_core.matching.host import HostNames, Place
from checking_core.matching.window import Window
from checking_plugin_sigma.evaluate.scan import Hit, Scanner, events_of
from checking_plugin_sigma.events.instant import moment_of
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.reader import Mark, Reader
from checking_plugin_sigma.events.routing import Logsource, Route
from checking_plugin_sigma.events.source import files_of, said_for
from checking_plugin_sigma.rules.model import Rule

__all__ = ["Reported", "Telemetry", "shifted"]

_SLOT = 60
"""Seconds: how finely it is remembered when a host reported."""
_MOST_QUESTIONS = 64
_MOST_HITS = 100_000


class Reported:
    """What a host, or several together, reported."""

    def __init__(self) -> None:
        self.routes: Counter[Route] = Counter()
        self.slots: set[int] = set()
        self.first: datetime | None = None

    def serves(self, rules: Iterable[Rule]) -> bool:
        """Whether there is anything that one of the rules is about."""
        wanted = {Logsource(rule.product, rule.category, rule.service) for rule in rules}
        return any(route.serves(source) for route in self.routes for source in wanted)

    def covers(self, window: Window) -> bool:
        """Whether anything was reported within a window."""
        first, last = (int(moment.timestamp()) // _SLOT for moment in (window.start, window.end))
        if last - first > len(self.slots):
            return any(first <= slot <= last for slot in self.slots)
        return any(slot in self.slots for slot in range(first, last + 1))

    def add(self, other: Reported) -> None:
        """Take in what another one reported."""
        self.routes += other.routes
        self.slots |= other.slots
        self.first = min((moment for moment in (self.first, other.first) if moment), default=None)


class _Question:
    """One set of rules, and its hits so far by file."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner
        self.hits: dict[Path, list[Hit]] = {}


class Telemetry:
    """Files that are asked again and again. One thread at a time.

    Args:
        places: files, folders, patterns.
        logsources: log sources of files by pattern.
        zone: of times without one.
    """

    def __init__(self, places: Sequence[str], logsources: Mapping[str, Logsource], zone: tzinfo | None) -> None:
        self._places = places
        self._logsources = logsources
        self._zone = zone
        self._questions: OrderedDict[tuple[str, ...], _Question] = OrderedDict()
        self._marks: dict[Path, Mark] = {}
        self._reported: dict[Path, dict[str, Reported]] = {}
        self._stop = threading.Event()

    def stop(self) -> None:
        """End what runs, from another thread."""
        self._stop.set()

    def moment(self, event: Event) -> datetime | None:
        """When an event happened, if that is known."""
        return moment_of(event.fields, self._zone)

    def files(self) -> list[Path]:
        """The files there are now.

        Raises:
            BackendUnreachableError: there is none.
        """
        found = files_of(self._places)
        if not found:
            raise BackendUnreachableError("CHECKING_SIGMA_EVENTS names no file that exists")
        return found

    def hits(self, rules: Sequence[Rule]) -> list[Hit]:
        """Every hit of some rules, in all that was ever read.

        Raises:
            BackendUnreachableError: a file cannot be read, or there are more hits than can be kept.
        """
        question = self._question(rules)
        for path in self.files():
            if question.scanner.is_replaced(path):
                question.hits.pop(path, None)
            found = []
            for hit in question.scanner.scan(path):
                self._go_on()
                found.append(hit)
                if len(found) > _MOST_HITS:
                    raise BackendUnreachableError(f"the rules hit more than {_MOST_HITS:,} events of {path.name}")
            question.hits.setdefault(path, []).extend(found)
        return [hit for hits in question.hits.values() for hit in hits]

    def reported(self, host: HostNames | None) -> Reported:
        """What a host reported; all hosts together for ``None``."""
        for path in self.files():
            self._count(path)
        found = Reported()
        for by_host in self._reported.values():
            for name, one in by_host.items():
                if host is None or host.place_of((name,) if name else ()) is not Place.OTHER:
                    found.add(one)
        return found

    def problems(self, rules: Sequence[Rule]) -> list[str]:
        """What could not be read when some rules were asked, in words."""
        unreadable = self._question(rules).scanner.unreadable
        return [f"{name}: {count} records cannot be read" for name, count in unreadable.items()]

    def _question(self, rules: Sequence[Rule]) -> _Question:
        key = tuple(f"{rule.id} {rule.digest}" for rule in rules)
        question = self._questions.get(key)
        if question is None:
            scanner = Scanner(rules, logsources=self._logsources, progress=lambda _: self._go_on())
            question = self._questions[key] = _Question(scanner)
        self._questions.move_to_end(key)
        if len(self._questions) > _MOST_QUESTIONS:
            self._questions.popitem(last=False)
        return question

    def _count(self, path: Path) -> None:
        reader = Reader(path, self._marks.get(path))
        found: dict[str, Reported] = {}
        for events in events_of(reader, said_for(path, self._logsources), None):
            self._go_on()
            for event in events:
                self._count_event(event, found)
        known = self._reported.setdefault(path, {})
        if reader.anew:
            known.clear()
        for host, one in found.items():
            known.setdefault(host, Reported()).add(one)
        self._marks[path] = reader.mark

    def _count_event(self, event: Event, found: dict[str, Reported]) -> None:
        one = found.get(event.host)
        if one is None:
            one = found[event.host] = Reported()
        one.routes[event.route] += 1
        moment = self.moment(event)
        if moment is not None:
            one.slots.add(int(moment.timestamp()) // _SLOT)
            if one.first is None or moment < one.first:
                one.first = moment

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise BackendUnreachableError("the detector is being closed")


def shifted(window: Window, shift: timedelta) -> Window:
    """The window in which a recording's own times lie that are shown later by ``shift``."""
    return Window(window.start - shift, window.end - shift)
