"""When an event happened, as far as its fields can be trusted. Pure.

Sysmon's ``UtcTime`` and the ``SystemTime`` of the Windows event log are UTC. What collectors add is often the local
time of the recorder without saying so, in some recordings even on a 12-hour clock: without a configured zone such a
time is not known, and an event of unknown time is neither dropped nor accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

__all__ = ["Told", "instant_of", "moment_of"]

_IN_UTC = ("UtcTime", "SystemTime")
_OF_COLLECTORS = ("@timestamp",)
_LOCAL = ("TimeCreated", "EventTime", "eventTime", "EventReceivedTime", "timestamp", "Timestamp", "time", "_time")


class Told(NamedTuple):
    """A time as it was written: aware, in UTC if ``zoned`` is false and nobody said otherwise."""

    moment: datetime
    zoned: bool


def instant_of(text: str) -> Told | None:
    """A date and time of ISO 8601, with ``T`` or a blank; ``None`` for anything else."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if len(text) < len("2020-01-01T00:00"):
        return None
    return Told(found, zoned=True) if found.tzinfo else Told(found.replace(tzinfo=UTC), zoned=False)


def moment_of(fields: Mapping[str, Any], zone: tzinfo | None) -> datetime | None:
    """When it happened, in UTC; ``None`` if no field tells that beyond doubt.

    Args:
        fields: of a normalised event.
        zone: of times that are written without one; ``None``: not known.
    """
    for name in _IN_UTC:
        if (told := _told(fields, name)) is not None:
            return told.moment.astimezone(UTC)
    for name in (*_OF_COLLECTORS, *_LOCAL):
        told = _told(fields, name)
        if told is not None and told.zoned:
            return told.moment.astimezone(UTC)
        if told is not None and zone is not None:
            return told.moment.replace(tzinfo=zone).astimezone(UTC)
    return None


def _told(fields: Mapping[str, Any], name: str) -> Told | None:
    value = fields.get(name)
    return instant_of(value) if isinstance(value, str) else None
