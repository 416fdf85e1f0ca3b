"""``result_data`` of a message: what the command printed, in four historical spellings. Attackers write it."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec

from checking_core.contracts.text import check_shape, storable
from checking_core.errors import RejectedMessageError

__all__ = ["read_output"]

_FIELD = "execution.result_data"


def read_output(value: Any) -> Any:
    """The output of a command: an object, JSON text or base64 of one, or plain text as ``{"raw": text}``.

    Raises:
        RejectedMessageError: JSON that is nested or populated beyond any honest use. Text that only claims to be
            JSON is kept as text instead: nobody escapes being checked by what a command prints.
    """
    if not isinstance(value, str):
        check_shape(_FIELD, value)
        return value
    if not value:
        return None
    found = _object(value.encode())
    if found is None:
        found = _object(_unpacked(value))
    return {"raw": value} if found is None else found


def _unpacked(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _object(body: bytes) -> dict[str, Any] | None:
    if not body.lstrip().startswith(b"{"):
        return None
    try:
        found = msgspec.json.decode(storable(body), type=dict[str, Any])
        check_shape(_FIELD, found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, RejectedMessageError):
        return None
    return found
