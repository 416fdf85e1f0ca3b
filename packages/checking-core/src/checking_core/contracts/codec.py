"""Bytes to messages and back. Every rejection names the field; sizes, depths and counts are limited here."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from checking_core.contracts.link_reader import WireMessage, canonical
from checking_core.contracts.link_result import LinkMessage
from checking_core.contracts.result import DetectionResult
from checking_core.contracts.task import DetectionTask
from checking_core.contracts.text import check_shape, without_nul
from checking_core.errors import RejectedMessageError

__all__ = ["MAX_BODY", "decode_link_message", "decode_result", "decode_task", "encode"]

MAX_BODY = 1024 * 1024
"""Bytes of one message; larger ones are dead-lettered unread."""

_AT = re.compile(r" - at `\$\.?(.*)`$")
_encoder = msgspec.json.Encoder()
_link_decoder = msgspec.json.Decoder(WireMessage)
_task_decoder = msgspec.json.Decoder(DetectionTask)
_result_decoder = msgspec.json.Decoder(DetectionResult)

T = TypeVar("T")


def encode(message: Any) -> bytes:
    """JSON of a message or of any JSON-like value."""
    return _encoder.encode(message)


def decode_link_message(body: bytes, *, received_at: datetime, limit: int = MAX_BODY) -> LinkMessage:
    """A red-team message in canonical form.

    Args:
        body: JSON, UTF-8.
        received_at: aware; stands in for a missing timestamp.
        limit: bytes.

    Raises:
        RejectedMessageError: it can never be accepted.
    """
    body = without_nul(body)
    return canonical(_decode(_link_decoder, body, limit), body, received_at=received_at)


def decode_task(body: bytes, *, limit: int = MAX_BODY) -> DetectionTask:
    """One look of a check. Raises ``RejectedMessageError``."""
    task = _versioned(_decode(_task_decoder, without_nul(body), limit))
    check_shape("detection_config", task.detection_config)
    return task


def decode_result(body: bytes, *, limit: int = MAX_BODY) -> DetectionResult:
    """The answer of a task. Raises ``RejectedMessageError``."""
    result = _versioned(_decode(_result_decoder, without_nul(body), limit))
    check_shape("raw_response", result.raw_response)
    return result


def _decode(decoder: msgspec.json.Decoder[T], body: bytes, limit: int) -> T:
    if len(body) > limit:
        raise RejectedMessageError("$", f"{len(body)} bytes are more than the limit of {limit}")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text = str(error)
        at = _AT.search(text)
        raise RejectedMessageError(at[1] if at and at[1] else "$", _AT.sub("", text)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedMessageError("$", f"is no JSON: {error}") from None
    except RecursionError:
        raise RejectedMessageError("$", "is nested too deep") from None


M = TypeVar("M", DetectionTask, DetectionResult)


def _versioned(message: M) -> M:
    if message.v != 1:
        raise RejectedMessageError("v", f"version {message.v} is not known; this release reads version 1")
    return message
