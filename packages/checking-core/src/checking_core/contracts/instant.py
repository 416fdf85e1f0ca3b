"""Moments in messages: aware, in UTC, and within the span that every backend and database can count in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload

from checking_core.errors import RejectedMessageError

__all__ = ["in_utc"]


@overload
def in_utc(field: str, value: datetime) -> datetime: ...
@overload
def in_utc(field: str, value: None) -> None: ...
def in_utc(field: str, value: datetime | None) -> datetime | None:
    """The same moment in UTC; a time without offset is read as UTC, as original publishers and workers write it.

    Raises:
        RejectedMessageError: before 1970 or after 2199, where windows and epoch numbers overflow.
    """
    if value is None:
        return None
    if not 1970 <= value.year < 2200:
        raise RejectedMessageError(field, "is no time between 1970 and 2199")
    if value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
