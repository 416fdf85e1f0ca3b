"""The border to foreign code: what a plugin hands over becomes fit to travel, to be stored and to be shown."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr

from checking_core.contracts import MAX_BODY, DetectionResult, ParsedResults, decode_result, encode
from checking_core.contracts.text import check_shape, clean, storable
from checking_core.errors import FatalDetectionError, RejectedMessageError
from checking_core.plugin.finding import Finding

__all__ = ["Limits", "capped", "fitted", "redacted", "secrets_of", "sound"]

_finding_decoder = msgspec.json.Decoder(Finding)
_UNREADABLE = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a backend's raw answer and of a whole message, characters of one text, near misses kept."""

    raw_response: int = 256 * 1024
    message: int = MAX_BODY
    text: int = 2000
    near_misses: int = 20


def sound(found: object, limits: Limits) -> Finding:
    """The finding, checked field by field, with storable text and a capped raw answer.

    Raises:
        FatalDetectionError: it is no finding, or one that breaks its own contract.
    """
    if not isinstance(found, Finding):
        raise FatalDetectionError(f"detect returned {type(found).__name__} instead of Finding")
    raw, bare = found.raw_response, msgspec.structs.replace(found, raw_response=None)
    try:
        finding = _finding_decoder.decode(storable(encode(bare)))
    except _UNREADABLE as error:
        raise FatalDetectionError(f"detect returned a finding that cannot be read: {error}") from error
    if any(moment.tzinfo is None for moment in _moments(finding)):
        raise FatalDetectionError("detect returned a time without a time zone")
    return msgspec.structs.replace(finding, raw_response=capped(raw, limits.raw_response))


def _moments(finding: Finding) -> Iterator[datetime]:
    for record in (finding, *finding.evidence, *finding.near_misses):
        for field in ("event_at", "indexed_at", "alert_at", "searched_from", "searched_to"):
            if (moment := getattr(record, field, None)) is not None:
                yield moment


def capped(raw: Any, limit: int) -> Any:
    """A backend's raw answer, or what of it can be kept.

    Args:
        raw: anything.
        limit: bytes of JSON. A larger, deeper or more populated answer becomes its beginning, with its full size
            and SHA-256; one that is no JSON at all is named by its type.
    """
    if raw is None:
        return None
    try:
        text = storable(encode(raw))
        value = msgspec.json.decode(text)
    except _UNREADABLE:
        return {"unreadable": type(raw).__name__}
    if len(text) <= limit and _has_honest_shape(value):
        return value
    head = text[: max(limit // 2 - 128, 0)]  # its quotes are escaped once more: it may double
    return {
        "truncated": True,
        "size": len(text),
        "sha256": hashlib.sha256(text).hexdigest(),
        "head": head.decode(errors="ignore"),
    }


def _has_honest_shape(value: Any) -> bool:
    try:
        check_shape("raw_response", value)
    except RejectedMessageError:
        return False
    return True


def fitted(result: DetectionResult, limit: int) -> DetectionResult:
    """The result as far as one message carries it and the server reads it; the verdict stays whole.

    Args:
        result: its evidence is a ``ParsedResults``.
        limit: bytes of JSON.

    Raises:
        FatalDetectionError: even the verdict alone breaks the contract, by a time of the year 1601 for example.
    """
    problem = ""
    for shorter in (_whole, _without_fields, _verdict_only):
        candidate = shorter(result)
        try:
            decode_result(encode(candidate), limit=limit)
        except RejectedMessageError as error:
            problem = str(error)
        else:
            return candidate
    raise FatalDetectionError(f"the answer fits in no message: {problem}")


def _whole(result: DetectionResult) -> DetectionResult:
    return result


def _without_fields(result: DetectionResult) -> DetectionResult:
    parsed: ParsedResults = result.parsed_results
    evidence = tuple(msgspec.structs.replace(record, fields={}) for record in parsed.evidence)
    return _shortened(result, "evidence fields", parsed_results=msgspec.structs.replace(parsed, evidence=evidence))


def _verdict_only(result: DetectionResult) -> DetectionResult:
    counts = result.parsed_results.near_miss_counts
    what = "evidence, claims, raw answer, query and warnings"
    kept = msgspec.structs.replace(result, result_metadata={})
    return _shortened(
        kept, what, parsed_results=ParsedResults(near_miss_counts=counts), claims=(), raw_response=None, query_sent=None
    )


def _shortened(result: DetectionResult, what: str, **changes: Any) -> DetectionResult:
    metadata = {**result.result_metadata, "left_out": what}
    return msgspec.structs.replace(result, result_metadata=metadata, **changes)


def secrets_of(settings: BaseModel) -> frozenset[str]:
    """Every secret text in a detector's settings."""
    return frozenset(_secrets(settings)) - {""}


def _secrets(value: Any) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="ignore")
        case BaseModel():
            yield from _secrets(dict(value))
        case dict():
            yield from _secrets(list(value.values()))
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from _secrets(item)


def redacted(text: str, secrets: Iterable[str], limit: int) -> str:
    """A text that may be stored and shown: without secrets and credentials in URLs, and not longer than ``limit``."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    shown: str = clean(_USER_INFO.sub("***", text))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
