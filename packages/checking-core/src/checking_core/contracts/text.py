"""What text and shape a message may have: written by attackers, stored by databases, so checked at the door."""

from __future__ import annotations

import re
from typing import Any

from checking_core.errors import RejectedMessageError

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "check_shape", "clean", "without_nul"]

MAX_DEPTH = 32
MAX_ITEMS = 10_000

_NUL = re.compile(rb"(\\\\)|\\u0000")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def without_nul(body: bytes) -> bytes:
    """JSON text without escaped NULs: PostgreSQL cannot store one, and every JSON parser lets it through."""
    if b"\\u0000" not in body:
        return body
    return _NUL.sub(lambda found: found.group(1) or b"\\ufffd", body)


def clean(value: Any) -> Any:
    """The same JSON-like value with NULs and lone surrogates replaced, as every store can keep it."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def check_shape(field: str, value: Any) -> None:
    """Refuse free-form JSON that is nested or populated beyond any honest use.

    Raises:
        RejectedMessageError: deeper than ``MAX_DEPTH`` or more than ``MAX_ITEMS`` members.
    """
    layer, count = [value], 0
    for _ in range(MAX_DEPTH):
        layer = [child for item in layer for child in _children(item)]
        count += len(layer)
        if not layer:
            return
        if count > MAX_ITEMS:
            raise RejectedMessageError(field, f"has more than {MAX_ITEMS} members")
    raise RejectedMessageError(field, f"is nested more than {MAX_DEPTH} deep")


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else []
