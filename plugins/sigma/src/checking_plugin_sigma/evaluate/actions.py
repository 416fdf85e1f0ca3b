"""Hits that speak of one action. Sysmon 1 and Security 4688 both record the start of a process: it happened once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from checking_plugin_sigma.evaluate.scan import Hit
from checking_plugin_sigma.events.instant import utc_of
from checking_plugin_sigma.events.model import Event

__all__ = ["Actions", "actions_of"]

_APART = timedelta(seconds=2)


Moment: TypeAlias = Callable[[Hit], datetime | None]


def _utc(hit: Hit) -> datetime | None:
    return utc_of(hit.event.fields)


class _Record(NamedTuple):
    """Of a record of a process start what tells it from that of another start alike."""

    log: str
    moment: datetime | None


class Actions:
    """The actions behind the hits of one rule. Of each hit as much is kept as tells the next one from it.

    Args:
        moment: when a hit happened, if that is known.

    Attributes:
        count: how many there are so far.
    """

    def __init__(self, moment: Moment = _utc) -> None:
        self.count = 0
        self._moment = moment
        self._starts: dict[int, list[tuple[int, list[_Record]]]] = {}

    def add(self, hit: Hit) -> int:
        """One more hit. Gives the number of its action, counted from zero, which may be that of an earlier hit."""
        likeness = _likeness(hit.event)
        if likeness is None:
            self.count += 1
            return self.count - 1
        record = _Record(hit.event.text("Channel").casefold(), self._moment(hit))
        alike = self._starts.setdefault(likeness, [])
        for number, records in alike:
            if _is_one(record, records):
                records.append(record)
                return number
        alike.append((self.count, [record]))
        self.count += 1
        return self.count - 1


def actions_of(hits: Iterable[Hit], moment: Moment = _utc) -> list[list[Hit]]:
    """The hits by rule and action: of each action the record that tells its time first.

    Args:
        hits: of any rules.
        moment: when a hit happened, if that is known; by default what is UTC by definition.
    """
    by_rule: dict[str, Actions] = {}
    found: dict[tuple[str, int], list[Hit]] = {}
    for hit in hits:
        rule = f"{hit.rule.id} {hit.rule.digest}"
        found.setdefault((rule, by_rule.setdefault(rule, Actions(moment)).add(hit)), []).append(hit)
    for action in found.values():
        action.sort(key=lambda hit: (utc_of(hit.event.fields) is None, moment(hit) is None))
    return list(found.values())


def _likeness(event: Event) -> int | None:
    """What two records of one process start have in common; nothing for what is no process start."""
    command, image = event.text("CommandLine"), event.text("Image")
    if "process_creation" not in event.route.categories or not (command and image):
        return None
    host = event.host.partition(".")[0]
    return hash(tuple(text.casefold() for text in (host, image, command, event.text("ProcessId"))))


def _is_one(record: _Record, others: Sequence[_Record]) -> bool:
    """Another log, and the same moment where both tell it beyond doubt: ids of processes are used again."""
    first = others[0]
    if any(other.log == record.log for other in others):
        return False
    return record.moment is None or first.moment is None or abs(record.moment - first.moment) <= _APART
