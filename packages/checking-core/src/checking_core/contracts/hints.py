"""The ``detections`` field of a message: hints by the ability's author, in four historical spellings."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from checking_core.contracts.link_result import Hint
from checking_core.contracts.text import BACKEND_NAME, check_shape, storable
from checking_core.errors import RejectedMessageError

__all__ = ["MAX_HINTS", "HintsRead", "read_hints"]

MAX_HINTS = 100
"""Entries of one message that are read; each becomes a check."""

_MAX_TEXT = 64 * 1024
_TYPES = frozenset({"api", "windows", "linux", "darwin"})
_BACKEND = re.compile(BACKEND_NAME)
_CREDENTIALS = (
    *("header", "headers", "authorization", "authorisation", "auth", "token", "cookie", "cookies"),
    *("password", "passwd", "passphrase", "secret", "credential", "credentials"),
    *(f"{kind}{dash}key" for kind in ("api", "access", "private", "secret") for dash in ("", "_", "-")),
)
"""How the names of keys end that carry credentials, whatever their prefix: ``X-API-Key``, ``clientSecret``."""


class HintsRead(NamedTuple):
    """The hints of a field; ``clean`` if the field may be kept as it came: readable and without credentials."""

    hints: tuple[Hint, ...] = ()
    clean: bool = True


_NOTHING = HintsRead()


def read_hints(value: Any) -> HintsRead:
    """Every hint of a ``detections`` field; one that cannot be used carries its problem instead of vanishing.

    Accepts a list, JSON text of one, Python-literal text of one (Caldera's ``additional_info``), the older nested
    form ``{"api": {"siem": {...}}}``, and nothing at all.
    """
    try:
        if isinstance(value, str):
            value = _parsed(value)
        if not value:
            return _NOTHING
        check_shape("detections", value)
    except RejectedMessageError as error:
        return HintsRead((Hint(problem=str(error)),), clean=False)
    told = list(islice(_entries(value), MAX_HINTS + 1))
    kept = [_without_credentials(entry) for entry in told[:MAX_HINTS]]
    hints = tuple(map(_hint, kept))
    if len(told) > MAX_HINTS:
        hints += (Hint(problem=f"detections: more than {MAX_HINTS} entries; the others are not read"),)
    return HintsRead(hints, clean=kept == told)


def _parsed(text: str) -> Any:
    if len(text) > _MAX_TEXT:
        raise RejectedMessageError("detections", f"text of more than {_MAX_TEXT} characters")
    try:
        return msgspec.json.decode(storable(text.encode())) if text.strip() else None
    except (msgspec.DecodeError, RecursionError):
        return _literal(text)


def _literal(text: str) -> Any:
    """A Python literal as the JSON it stands for: tuples and sets are lists, keys are text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape in an author's text is no business of our stderr
            found = ast.literal_eval(text.strip())
        return msgspec.json.decode(storable(msgspec.json.encode(found)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise RejectedMessageError("detections", "neither JSON nor a Python literal") from None


def _entries(value: Any) -> Iterator[Any]:
    """Entries of the list form; the nested form is unfolded into it."""
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict) and not value.keys() & {"detection_type", "detection_config"}:
        for group, members in value.items():
            yield from _unfolded(group, members)
    else:
        yield value


def _unfolded(group: str, members: Any) -> Iterator[Any]:
    if not isinstance(members, dict):
        yield members
        return
    for name, config in members.items():
        if not isinstance(config, dict):
            yield config
            continue
        yield {
            "detection_type": "api" if group == "api" else name,
            "detection_platform": config.get("platform"),
            "detection_config": {key: item for key, item in config.items() if key not in ("platform", "max_retries")},
            "max_retries": config.get("max_retries"),
        }


def _without_credentials(value: Any) -> Any:
    """The same value without keys that name a credential. A Sigma rule's keys are names of telemetry: kept."""
    if isinstance(value, dict):
        return {
            key: item if key == "sigma" else _without_credentials(item)
            for key, item in value.items()
            if not key.lower().endswith(_CREDENTIALS)
        }
    return [_without_credentials(item) for item in value] if isinstance(value, list) else value


def _hint(entry: Any) -> Hint:
    if not isinstance(entry, dict):
        return Hint(problem="is no object with detection_type, detection_platform and detection_config")
    kind, kind_problem = _kind(entry.get("detection_type"))
    config, config_problem = _config(entry.get("detection_config"))
    retries, retries_problem = _retries(entry.get("max_retries"))
    return Hint(
        detection_type=kind,
        platform=_platform(entry.get("detection_platform")),
        config=config,
        max_retries=retries,
        problem=kind_problem or config_problem or retries_problem,
    )


def _kind(value: Any) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    kind = value.strip().lower() if isinstance(value, str) else ""
    return (
        (kind, None) if kind in _TYPES else (None, f"detection_type: unknown; use one of {', '.join(sorted(_TYPES))}")
    )


def _platform(value: Any) -> str | None:
    """A name that a backend can have, or nothing: the default backend is asked then."""
    name = value.strip().lower() if isinstance(value, str) else ""
    return name if _BACKEND.fullmatch(name) else None


def _config(value: Any) -> tuple[dict[str, Any], str | None]:
    return (value, None) if isinstance(value, dict) else ({}, "detection_config: is no object")


def _retries(value: Any) -> tuple[int | None, str | None]:
    if value is None:
        return None, None
    try:
        number: int = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        return None, "max_retries: is no whole number"
    return (number, None) if 0 <= number <= 100 else (None, "max_retries: is not between 0 and 100")
