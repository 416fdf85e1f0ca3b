"""Hits that speak of one action. Sysmon 1 and Security 4688 both record the start of a process: it happened once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from checking_plugin_sigma.evaluate.scan import Hit
from checking_plugin_sigma.events.instant import utc_of
from checking_plugin_sigma.events.model import Event

__all__ = ["actions_of"]

_APART = timedelta(seconds=2)


def actions_of(hits: Iterable[Hit]) -> list[list[Hit]]:
    """The hits by action: of each the record that tells its time first. What starts no process is an action each."""
    groups: dict[tuple[str, ...], list[list[Hit]]] = {}
    for hit in hits:
        alike = groups.setdefault(_likeness(hit), [])
        same = next((group for group in alike if _is_one(hit, group)), None)
        if same is None:
            alike.append([hit])
        else:
            same.append(hit)
    found = [group for alike in groups.values() for group in alike]
    for group in found:
        group.sort(key=lambda hit: utc_of(hit.event.fields) is None)
    return found


def _likeness(hit: Hit) -> tuple[str, ...]:
    """What two records of one process start have in common; of anything else what is unique."""
    event, rule = hit.event, f"{hit.rule.id} {hit.rule.digest}"
    command, image = event.text("CommandLine"), event.text("Image")
    if "process_creation" not in event.route.categories or not (command and image):
        return (rule, str(hit.path), str(event.line), "")
    host = event.host.partition(".")[0]
    return tuple(text.casefold() for text in (rule, host, image, command))


def _is_one(hit: Hit, group: Sequence[Hit]) -> bool:
    """Two logs, and either the same moment or, where one does not tell it beyond doubt, the same process."""
    first, event = group[0].event, hit.event
    if any(_log(other.event) == _log(event) for other in group):
        return False
    ours, theirs = utc_of(event.fields), utc_of(first.fields)
    if ours is not None and theirs is not None:
        return abs(ours - theirs) <= _APART
    return event.text("ProcessId") == first.text("ProcessId") != ""


def _log(event: Event) -> str:
    return event.text("Channel").casefold()
