"""What text and shape a message may have: written by attackers, stored by databases, so checked at the door."""

from __future__ import annotations

import re
from typing import Any

from checking_core.errors import RejectedMessageError

__all__ = ["BACKEND_NAME", "MAX_DEPTH", "MAX_ITEMS", "check_shape", "clean", "storable"]

MAX_DEPTH = 32
MAX_ITEMS = 100_000

BACKEND_NAME = r"[a-z0-9_-]{1,40}"
"""What the name of a backend looks like: it becomes part of a queue's name."""

_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_ESCAPES = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a backslash, a surrogate pair: kept
    rb"|\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})"  # a NUL, half of a pair
)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(body: bytes) -> bytes:
    r"""The same JSON text with escaped NULs and lone surrogates replaced by U+FFFD.

    ``"\u0000"`` and ``"\ud800"`` are legal JSON that an attacker's output may contain; PostgreSQL can store neither
    and strict parsers refuse the whole message for the second.
    """
    return _ESCAPES.sub(lambda found: found[1] or b"\\ufffd", body) if _SUSPECT.search(body) else body


def clean(value: Any) -> Any:
    """The same JSON-like value with NULs and lone surrogates replaced by U+FFFD, in keys too."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list | tuple) else value


def check_shape(field: str, value: Any) -> None:
    """Refuse free-form JSON that is nested or populated beyond any honest use.

    Raises:
        RejectedMessageError: deeper than ``MAX_DEPTH`` or more than ``MAX_ITEMS`` members.
    """
    layer, count = [value], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in layer:
            if type(item) is dict:
                below += item.values()
            elif type(item) is list:
                below += item
        if not below:
            return
        layer, count = below, count + len(below)
        if count > MAX_ITEMS:
            raise RejectedMessageError(field, f"has more than {MAX_ITEMS} members")
    raise RejectedMessageError(field, f"is nested more than {MAX_DEPTH} deep")
