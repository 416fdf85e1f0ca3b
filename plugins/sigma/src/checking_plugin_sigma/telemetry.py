"""What a detector knows of its telemetry: hits by question, and who reported what and when.

Every question keeps how far it has read, so that a look costs what was written since the last one. A second reading,
without any rule, keeps count of hosts, log sources and times: a rule may only be said to have been silent about a host
that reported such events, at a time when it reported at all.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from fnmatch import fnmatchcase
from pathlib import Path

from checking_core.errors import BackendUnreachableError
from checking_core.matching.host import HostNames, Place
from checking_core.matching.window import Window
from checking_plugin_sigma.evaluate.scan import Hit, Scanner, events_of
from checking_plugin_sigma.events.instant import collected_of, is_contradicted, utc_of
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.reader import Mark, Reader
from checking_plugin_sigma.events.routing import Logsource, Route
from checking_plugin_sigma.events.source import files_of, said_for
from checking_plugin_sigma.rules.model import Rule

__all__ = ["Reported", "Telemetry", "shifted"]

_SLOT = 60
"""Seconds: how finely it is remembered when a host reported."""
_SAMPLE = 256
"""Events of a chunk whose times are compared."""
_SYSTEMS = frozenset({"windows", "linux", "macos"})
_MOST_QUESTIONS = 64
_MOST_HITS = 100_000


class _Times:
    """When events were reported: by times that are trusted, and by those of collectors."""

    def __init__(self) -> None:
        self.known: set[int] = set()
        self.collected: set[int] = set()

    def within(self, window: Window) -> bool:
        """Whether any event has a trusted time in a window."""
        first, last = _slot(window.start), _slot(window.end)
        if last - first > len(self.known):
            return any(first <= slot <= last for slot in self.known)
        return any(slot in self.known for slot in range(first, last + 1))


class Reported:
    """What a host, or several together, reported of each log source, and when: one may stop while others go on.

    ``first`` is by trusted times, ``first_collected`` by those of collectors.
    """

    def __init__(self) -> None:
        self.times: dict[Route, _Times] = {}
        self.first: datetime | None = None
        self.first_collected: datetime | None = None

    def concerns(self, wanted: Logsource) -> bool:
        """Whether a log source may be one of this host: not if it is of another operating system."""
        own = {route.product for route in self.times} & _SYSTEMS
        return not own or wanted.product not in _SYSTEMS - own

    def serves(self, wanted: Logsource) -> bool:
        """Whether there is anything of a log source."""
        return any(route.serves(wanted) for route in self.times)

    def covers(self, wanted: Logsource, window: Window) -> bool:
        """Whether anything of a log source was reported within a window."""
        return any(route.serves(wanted) and times.within(window) for route, times in self.times.items())

    def add(self, other: Reported, *, trusting: bool) -> None:
        """Take in what another one reported, with the times of its collector or without."""
        for route, times in other.times.items():
            own = self.times.setdefault(route, _Times())
            own.known |= times.known | (times.collected if trusting else set())
        firsts = (self.first, other.first, other.first_collected if trusting else None)
        self.first = min((moment for moment in firsts if moment), default=None)

    def count(self, event: Event, zone: tzinfo | None) -> None:
        """One more event."""
        times = self.times.get(event.route)
        if times is None:
            times = self.times[event.route] = _Times()
        moment = utc_of(event.fields)
        if moment is not None:
            times.known.add(_slot(moment))
            self.first = min(self.first or moment, moment)
        elif (moment := collected_of(event.fields, zone)) is not None:
            times.collected.add(_slot(moment))
            self.first_collected = min(self.first_collected or moment, moment)


def _slot(moment: datetime) -> int:
    return int(moment.timestamp()) // _SLOT


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
        self._contradicted: set[Path] = set()
        self._stop = threading.Event()

    def stop(self) -> None:
        """End what runs, from another thread."""
        self._stop.set()

    def moment(self, hit: Hit) -> datetime | None:
        """When an event happened, if that is known beyond doubt."""
        known = utc_of(hit.event.fields)
        return known if known or hit.path in self._contradicted else collected_of(hit.event.fields, self._zone)

    def files(self, only: str | None = None) -> list[Path]:
        """The files there are now.

        Args:
            only: a pattern over their names.

        Raises:
            BackendUnreachableError: there is none.
        """
        found = files_of(self._places)
        if not found:
            raise BackendUnreachableError("CHECKING_SIGMA_EVENTS names no file that exists")
        asked = [path for path in found if only is None or fnmatchcase(path.name, only)]
        if not asked:
            raise BackendUnreachableError(f"CHECKING_SIGMA_EVENTS names no file that is called {only}")
        return asked

    def hits(self, rules: Sequence[Rule], only: str | None = None) -> list[Hit]:
        """Every hit of some rules, in all that was ever read of the files of these names.

        Raises:
            BackendUnreachableError: a file cannot be read, or there are more hits than can be kept.
        """
        question = self._question(rules)
        files = self.files(only)
        for path in files:
            self._count(path)
            if question.scanner.is_replaced(path):
                question.hits.pop(path, None)
            found = []
            for hit in question.scanner.scan(path):
                self._go_on()
                found.append(hit)
                if len(found) > _MOST_HITS:
                    raise BackendUnreachableError(f"the rules hit more than {_MOST_HITS:,} events of {path.name}")
            question.hits.setdefault(path, []).extend(found)
        kept = set(files) if only is not None else question.hits.keys()
        return [hit for path, hits in question.hits.items() if path in kept for hit in hits]

    def reported(self, host: HostNames | None, only: str | None = None) -> Reported:
        """What a host reported in the files of these names; all hosts together for ``None``.

        An event that names no host, or none that can be told from it, is nobody's.
        """
        files = self.files(only)
        for path in files:
            self._count(path)
        found = Reported()
        for path in self._reported if only is None else files:
            for name, one in self._reported[path].items():
                if host is None or host.place_of((name,)) in (Place.SAME, Place.ADDRESS):
                    found.add(one, trusting=path not in self._contradicted)
        return found

    def problems(self, rules: Sequence[Rule], only: str | None = None) -> list[str]:
        """What could not be read of the files of these names when some rules were asked, in words."""
        scanner = self._question(rules).scanner
        told = (scanner.unreadable, "cannot be read"), (scanner.unfinished, "are not written to their end")
        return [
            f"{path.name}: {counted[path]} records {problem}"
            for path in self.files(only)
            for counted, problem in told
            if counted[path]
        ]

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
        known = {} if reader.anew else dict(self._reported.get(path, {}))
        if reader.anew:
            self._contradicted.discard(path)
        for events in events_of(reader, said_for(path, self._logsources), None):
            self._go_on()
            for event in events:
                known.setdefault(event.host, Reported()).count(event, self._zone)
            sample = events[:: max(len(events) // _SAMPLE, 1)]
            if any(is_contradicted(event.fields, self._zone) for event in sample):
                self._contradicted.add(path)
        self._reported[path] = known
        self._marks[path] = reader.mark

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise BackendUnreachableError("the detector is being closed")


def shifted(window: Window, shift: timedelta) -> Window:
    """The window in which a recording's own times lie that are shown later by ``shift``."""
    return Window(window.start - shift, window.end - shift)
