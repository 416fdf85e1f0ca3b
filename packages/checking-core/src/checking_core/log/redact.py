"""What a log line must not carry: credentials, walls of text, and characters that forge lines or steer terminals."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from math import isfinite
from typing import Any

__all__ = ["MASK", "escaped", "is_secret", "masked", "tidy"]

MASK = "********"

_LONGEST = 2_000
_LONGEST_TRACEBACK = 20_000
_MOST = 50
_DEEPEST = 4
_SECRET = re.compile(
    r"(?:passw(?:or)?d|passphrase|(?:^|[_-])pass|secret|token|credentials?|cookies?|authori[sz]ation|headers|api[_-]?key"
    r"|private[_-]?key|dsn)$",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(://[^\s:/?#@]*:)\S{1,300}@")
_PARAMETER = re.compile(r"([?&](?:password|passwd|secret|token|api_?key)=)[^&\s]+", re.IGNORECASE)
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def masked(text: str) -> str:
    """The same text with the passwords of URLs replaced: ``scheme://user:password@host`` and ``?password=``."""
    if "://" not in text:
        return text
    return _PARAMETER.sub(rf"\g<1>{MASK}", _USERINFO.sub(rf"\g<1>{MASK}@", text))


def is_secret(key: str) -> bool:
    """Whether this is what the name of a credential looks like."""
    return _SECRET.search(key) is not None


def escaped(text: str) -> str:
    r"""The same text with control, direction and other invisible characters written out (``\x1b``, ``\u202e``)."""
    return _STEERING.sub(lambda found: ascii(found[0])[1:-1], text)


def tidy(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """A processor: every field redacted, plain and of a length that a log can bear."""
    return {key: _field(key, value) for key, value in event.items()}


def _field(key: str, value: Any) -> Any:
    if key == "exception" and isinstance(value, str):
        return masked(value[-_LONGEST_TRACEBACK:])
    return MASK if value is not None and is_secret(key) else _plain(value, _DEEPEST)


def _plain(value: Any, depth: int) -> Any:
    """The value as text, number, list or dict."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, str):
        return _cut(value)
    if hasattr(value, "get_secret_value"):
        return MASK
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, Mapping | list | tuple | AbstractSet):
        return _members(value, depth - 1) if depth else "…"
    return _cut(str(value))


def _members(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        items = list(value.items())
        kept: Any = {str(key): MASK if is_secret(str(key)) else _plain(item, depth) for key, item in items[:_MOST]}
        return kept if len(items) <= _MOST else kept | {"…": len(items) - _MOST}
    items = list(value)
    kept = [_plain(item, depth) for item in items[:_MOST]]
    return kept if len(items) <= _MOST else [*kept, f"… {len(items) - _MOST} more"]


def _cut(text: str) -> str:
    """Masked before it is cut to its final length: a password whose end is cut off would not be recognised."""
    whole = len(text)
    text = masked(text[: 2 * _LONGEST])
    return text if whole <= _LONGEST else f"{text[:_LONGEST]}… ({whole} characters)"
