"""What Splunk says beside its rows: an answer with status 200 may be a failure, or lack a part. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from checking_core import (
    BackendPartialAnswerError,
    BackendRateLimitedError,
    BackendUnreachableError,
    DetectionError,
    FatalDetectionError,
    QueryInvalidError,
    Reason,
)
from checking_core.plugin.fields import texts_at, values_at
from checking_core.plugin.http import HttpReply
from checking_core.plugin.http_failure import failure_of, retry_after_of

__all__ = ["Message", "failure_from", "gaps_in", "messages_in", "raise_failure", "words_in"]

_LONGEST = 300
_QUOTA = re.compile(r"maximum (number of concurrent|disk usage quota)|concurrency_limit|search quota", re.IGNORECASE)
_OWN_TIME = re.compile(r"time ?range was substituted", re.IGNORECASE)
_POLICY = re.compile(r"WLM-DENIED|admission rule", re.IGNORECASE)
_SYNTAX = re.compile(
    r"error in '|unknown search command|unable to parse|search macro|mismatched|unbalanced|comparator|missing a",
    re.IGNORECASE,
)
_PARTIAL = re.compile(
    r"incomplete|partial|truncat|auto-?(finaliz|cancel)|unable to distribute|could not be contacted|timed out|skipped",
    re.IGNORECASE,
)
_XML = re.compile(r'<msg type="(\w+)"[^>]*>([^<]*)</msg>')


class Message(NamedTuple):
    """One of them. ``kind`` is DEBUG, INFO, WARN, ERROR or FATAL."""

    kind: str
    text: str


def messages_in(told: Mapping[str, Any]) -> list[Message]:
    """The messages of an answer, or of a job."""
    found = [one for one in values_at(told, "messages") if isinstance(one, Mapping)]
    return [Message("".join(texts_at(one, "type")).upper(), "".join(texts_at(one, "text"))) for one in found]


def raise_failure(messages: Iterable[Message]) -> None:
    """Raise what the messages tell instead of an answer, if they do.

    Raises:
        BackendRateLimitedError: there are too many searches.
        QueryInvalidError: the query is wrong, or has a time range of its own.
        FatalDetectionError: a policy forbids it.
        BackendPartialAnswerError: any other failure.
    """
    said = list(messages)
    for kind, text in said:
        if kind != "DEBUG" and _QUOTA.search(text):
            raise BackendRateLimitedError(text[:_LONGEST])
        if _OWN_TIME.search(text):
            raise QueryInvalidError("another time than the check's was searched: the query has a range of its own")
    for kind, text in said:
        if kind == "FATAL":
            raise _fatal(text)


def _fatal(text: str) -> DetectionError:
    if _POLICY.search(text):
        return FatalDetectionError(text[:_LONGEST], reason=Reason.BACKEND_AUTH_FAILED)
    if _SYNTAX.search(text):
        return QueryInvalidError(text[:_LONGEST])
    return BackendPartialAnswerError(text[:_LONGEST])  # a peer or a bucket, which may be back at the next look


def gaps_in(messages: Iterable[Message]) -> tuple[str, ...]:
    """Messages that say that some of the data was not seen."""
    said = (
        text[:_LONGEST] for kind, text in messages if kind == "ERROR" or (kind != "DEBUG" and _PARTIAL.search(text))
    )
    return tuple(dict.fromkeys(said))


def words_in(reply: HttpReply) -> str:
    """What an error says, in JSON or in XML."""
    try:
        said = [text for _, text in messages_in(reply.json())]
    except BackendUnreachableError:
        said = [text for _, text in _XML.findall(reply.body[:4000].decode(errors="replace"))]
    return "; ".join(said)[:_LONGEST]


def failure_from(reply: HttpReply) -> DetectionError:
    """The error that an answer with a status of 400 or more is: a quota is told by its text, whatever the status."""
    words = words_in(reply)
    if _QUOTA.search(words):
        return BackendRateLimitedError(words, retry_after=retry_after_of(reply.headers, reply.received_at))
    return failure_of(reply, words)
