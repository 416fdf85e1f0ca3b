"""Bytes to messages and back. Every rejection names the field; sizes, depths and counts are limited here."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from checking_core.contracts.instant import in_utc
from checking_core.contracts.link_reader import canonical
from checking_core.contracts.link_result import LinkMessage
from checking_core.contracts.link_wire import WireMessage
from checking_core.contracts.result import DetectionResult
from checking_core.contracts.task import DetectionTask, ExecutionContext
from checking_core.contracts.text import check_shape, clean, storable
from checking_core.errors import RejectedMessageError

__all__ = ["MAX_BODY", "decode_link_message", "decode_result", "decode_task", "encode"]

MAX_BODY = 1024 * 1024
"""Bytes of one message; larger ones are dead-lettered unread."""

MAX_TASK = 2 * MAX_BODY
"""Bytes of one task: it repeats the commands of a message, which may fill one, and adds the question."""

_LONGEST_PATH = 100
_AT = re.compile(r" - at `\$\.?(.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(\w+)`")
_PARTS = frozenset({"operation", "execution", "agent", "ability", "execution_context", "metadata"})
"""Objects whose fields are ours; what stands in any other is kept as it came."""

_encoder = msgspec.json.Encoder()
_link_decoder = msgspec.json.Decoder(WireMessage)
_task_decoder = msgspec.json.Decoder(DetectionTask)
_result_decoder = msgspec.json.Decoder(DetectionResult)

T = TypeVar("T", WireMessage, DetectionTask, DetectionResult)
M = TypeVar("M", DetectionTask, DetectionResult)
Timed = TypeVar("Timed", DetectionTask, ExecutionContext, DetectionResult)


def encode(message: Any) -> bytes:
    """JSON of a message or of any JSON-like value. Text of a backend may hold lone surrogates: they are replaced."""
    try:
        return _encoder.encode(message)
    except UnicodeEncodeError:
        return _encoder.encode(clean(msgspec.to_builtins(message)))


def decode_link_message(body: bytes, *, received_at: datetime, limit: int = MAX_BODY) -> LinkMessage:
    """A red-team message in canonical form.

    Args:
        body: JSON, UTF-8.
        received_at: aware; stands in where the message tells no time.
        limit: bytes.

    Raises:
        RejectedMessageError: it can never be accepted.
    """
    text = _text(body, limit)
    try:
        return canonical(_decoded(_link_decoder, text), text, received_at=received_at)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _rejection(error) from None


def decode_task(body: bytes, *, limit: int = MAX_TASK) -> DetectionTask:
    """One look of a check. Raises ``RejectedMessageError``."""
    task = _worked(_task_decoder, body, limit)
    check_shape("detection_config", task.detection_config)
    return msgspec.structs.replace(task, execution_context=_timed(task.execution_context, "execution_context."))


def decode_result(body: bytes, *, limit: int = MAX_BODY) -> DetectionResult:
    """The answer of a task. Raises ``RejectedMessageError``."""
    result = _worked(_result_decoder, body, limit)
    for field in ("raw_response", "parsed_results", "result_metadata"):
        check_shape(field, getattr(result, field))
    return result


def _text(body: bytes, limit: int) -> str:
    if len(body) > limit:
        raise RejectedMessageError("$", f"{len(body)} bytes are more than the limit of {limit}")
    try:
        return storable(body).decode()
    except UnicodeDecodeError:
        raise RejectedMessageError("$", "is no UTF-8") from None


def _worked(decoder: msgspec.json.Decoder[M], body: bytes, limit: int) -> M:
    """A message between server and worker."""
    text = _text(body, limit)
    try:
        message = _decoded(decoder, text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _rejection(error) from None
    if message.v != 1:
        raise RejectedMessageError("v", "is not known; this release reads version 1")
    return _timed(message)


def _decoded(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        try:
            told = _told(msgspec.json.decode(text))
        except msgspec.DecodeError:
            raise error from None
        return msgspec.convert(told, decoder.type)


def _told(message: Any) -> Any:
    """The same message without empty fields: publishers and workers write ``null`` or ``""`` for what is unknown."""
    if not isinstance(message, dict):
        return message
    told = ((key, item) for key, item in message.items() if item is not None and item != "")
    return {key: _told(item) if key in _PARTS else item for key, item in told}


def _rejection(error: Exception) -> RejectedMessageError:
    """The rejection that an error of the decoder stands for, without the value that caused it."""
    if isinstance(error, RecursionError):
        return RejectedMessageError("$", "is nested too deep")
    if not isinstance(error, msgspec.ValidationError):
        return RejectedMessageError("$", f"is no JSON: {error}")
    problem = str(error)
    found = _AT.search(problem)
    path, problem = (found[1][:_LONGEST_PATH], problem[: found.start()]) if found else ("", problem)
    if missing := _MISSING.fullmatch(problem):
        return RejectedMessageError(".".join(filter(None, (path, missing[1]))), "is missing")
    if problem.startswith("Invalid enum value"):
        problem = "is not one of the known values"
    if problem.startswith("Invalid RFC3339"):
        problem = "is no ISO 8601 time; write 2026-01-31T12:00:00Z"
    return RejectedMessageError(path or "$", problem)


_TIMES = {
    kind: tuple(field.name for field in msgspec.structs.fields(kind) if field.type in (datetime, datetime | None))
    for kind in (DetectionTask, ExecutionContext, DetectionResult)
}


def _timed(message: Timed, path: str = "") -> Timed:
    """The same message with every time in UTC."""
    times = {name: in_utc(f"{path}{name}", getattr(message, name)) for name in _TIMES[type(message)]}
    return msgspec.structs.replace(message, **times)
