"""When an event happened, as far as its fields can be trusted. Pure.

Sysmon's ``UtcTime`` and the ``SystemTime`` of the Windows event log are UTC. What collectors add is often the local
time of the recorder, without any zone, on a 12-hour clock, or even as if it were UTC. So a time without a zone is only
known where one is configured, and no time of a collector is trusted that the same file contradicts. A time of another
age is the zero of somebody's clock, or its end, and tells nothing. An event of unknown time is neither dropped nor
accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

__all__ = ["Told", "collected_of", "instant_of", "is_contradicted", "since_1970", "utc_of"]

_IN_UTC = ("UtcTime", "SystemTime")
_OF_COLLECTORS = (
    *("@timestamp", "TimeCreated", "EventTime", "eventTime", "EventReceivedTime"),
    *("timestamp", "Timestamp", "time", "_time"),
)
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_FAR_OFF = timedelta(minutes=5)


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


def since_1970(seconds: str) -> datetime | None:
    """The moment so many seconds after the beginning of 1970, in UTC; ``None`` if there is no such moment."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def utc_of(fields: Mapping[str, Any]) -> datetime | None:
    """When it happened, by a field that is in UTC by definition."""
    found = (_told(fields, name) for name in _IN_UTC)
    return next((told.moment.astimezone(UTC) for told in found if told), None)


def collected_of(fields: Mapping[str, Any], zone: tzinfo | None) -> datetime | None:
    """When it happened, in UTC, by what its collector says.

    Args:
        fields: of a normalised event.
        zone: of times that are written without one; ``None``: not known.
    """
    for name in _OF_COLLECTORS:
        told = _told(fields, name)
        if told is not None and told.zoned:
            return told.moment.astimezone(UTC)
        if told is not None and zone is not None:
            return told.moment.replace(tzinfo=zone).astimezone(UTC)
    return None


def is_contradicted(fields: Mapping[str, Any], zone: tzinfo | None) -> bool:
    """Whether the collector's time is not that of the event: it writes local time as UTC, or that of the arrival."""
    known, collected = utc_of(fields), collected_of(fields, zone)
    return known is not None and collected is not None and abs(known - collected) > _FAR_OFF


def _told(fields: Mapping[str, Any], name: str) -> Told | None:
    """The time in a field, if it is one of this age."""
    value = fields.get(name)
    told = instant_of(value) if isinstance(value, str) else None
    return told if told and _FIRST_YEAR <= told.moment.year <= _LAST_YEAR else None
