"""What a backend returned, in core's words: the form that every plugin translates its records into.

A field that a backend does not tell stays empty: it proves nothing and contradicts nothing. Every text in here was
written by somebody else, an attacker for instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec

from checking_core.contracts import EvidenceKind, Prevention

__all__ = ["UNTOLD", "Alert", "AnyRecord", "Event", "Match", "Record", "told"]

Aware: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]

UNTOLD = frozenset({"", "-", "n/a", "none", "null", "unknown"})
"""What backends write, in any case, where they know nothing: it is not somebody of that name."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What events, matches and alerts have in common.

    ``id`` is unique within the backend and the same at every look. ``hosts`` holds every name and id that the record
    gives to the host it speaks of, ``addresses`` that host's addresses. ``ancestors`` are the process ids above
    ``pid``, the nearest first. ``event_at`` is when the thing happened, on the clock of whoever recorded it; a record
    that sums up several things has ``event_until`` as well. All times are aware. ``rule_aliases`` are other names and
    ids of the same rule. ``fields`` are shown as evidence.
    """

    kind: ClassVar[EvidenceKind]

    id: str
    title: str = ""
    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    pid: int | None = None
    ancestors: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    rule: str | None = None
    rule_id: str | None = None
    rule_aliases: tuple[str, ...] = ()
    event_at: Aware | None = None
    event_until: Aware | None = None
    indexed_at: Aware | None = None
    url: str | None = None
    fields: Mapping[str, Any] = {}


class Event(Record, frozen=True, kw_only=True):
    """Raw telemetry: a trace of an action."""

    kind = EvidenceKind.EVENT


class Match(Record, frozen=True, kw_only=True):
    """A hit of a detection logic that was run over telemetry; no product has raised an alert."""

    kind = EvidenceKind.MATCH


class Alert(Record, frozen=True, kw_only=True):
    """What a product's rule raised by itself.

    ``created_at`` is when it stood in the alert store: time to detect ends there. ``suppressed``: it is one that no
    analyst gets to see, such as a building block or one that an exception has muted.
    """

    kind = EvidenceKind.ALERT

    severity: str | None = None
    created_at: Aware | None = None
    prevention: Prevention = Prevention.UNKNOWN
    suppressed: bool = False


AnyRecord: TypeAlias = Alert | Match | Event


def told(*texts: str | None) -> tuple[str, ...]:
    """Those of some texts that say something."""
    return tuple(text for text in texts if text is not None and text.strip().casefold() not in UNTOLD)
