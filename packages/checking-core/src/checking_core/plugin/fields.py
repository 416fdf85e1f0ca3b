"""Reads fields out of a product's records: nested or with dots in their names, one value or a list. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["moment_at", "number_at", "texts_at", "values_at"]

_MILLISECONDS = 100_000_000_000
"""A number of seconds as large as this lies in the year 5138: it counts milliseconds."""


def values_at(record: Mapping[str, Any], *paths: str) -> list[Any]:
    """Every value below these paths, path by path; lists on the way are looked through, ``None`` is no value."""
    return [value for path in paths for value in _below(record, path)]


def texts_at(record: Mapping[str, Any], *paths: str) -> tuple[str, ...]:
    """The texts and numbers below these paths as texts, each once."""
    plain = (value for value in values_at(record, *paths) if isinstance(value, str | int | float))
    texts = (str(value) for value in plain if not isinstance(value, bool))
    return tuple(dict.fromkeys(text for text in texts if text))


def number_at(record: Mapping[str, Any], *paths: str) -> int | None:
    """The first whole number below these paths, also as text, also in hexadecimal as Windows writes it."""
    for text in texts_at(record, *paths):
        try:
            return int(text, 16) if text.lower().startswith("0x") else int(text)
        except ValueError:
            continue
    return None


def moment_at(record: Mapping[str, Any], *paths: str) -> datetime | None:
    """The first time below these paths: ISO 8601, read as UTC without an offset, or a number since 1970."""
    for text in texts_at(record, *paths):
        try:
            return _moment(text)
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _moment(text: str) -> datetime:
    try:
        seconds = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return datetime.fromtimestamp(seconds / 1000 if seconds >= _MILLISECONDS else seconds, UTC)


def _below(value: Any, path: str) -> Iterator[Any]:
    """Products write ``{"a": {"b": 1}}``, ``{"a.b": 1}`` and any mixture of both."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _below(item, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, Mapping):
        parts = path.split(".")
        for end in range(len(parts), 0, -1):
            name = ".".join(parts[:end])
            if name in value:
                yield from _below(value[name], ".".join(parts[end:]))
