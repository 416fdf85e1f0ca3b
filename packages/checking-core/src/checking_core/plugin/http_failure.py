"""What a status of HTTP means for a look, and how long a product asks to be left alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from checking_core.errors import (
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    DetectionError,
    FatalDetectionError,
    QueryInvalidError,
)
from checking_core.plugin.http import HttpReply

__all__ = ["failure_of", "retry_after_of"]

_LONGEST_WORDS = 300
_LONGEST_WAIT = timedelta(days=1)
_REFUSED = frozenset({401, 403, 407})
_SENSELESS = frozenset({400, 404, 413, 414, 422})
_PASSES = frozenset({408, 425})
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)


def failure_of(reply: HttpReply, words: str = "") -> DetectionError:
    """The error that a reply with a status other than 2xx is.

    Args:
        reply: the product's.
        words: its own explanation.
    """
    told = f"HTTP {reply.status}: {words}"[:_LONGEST_WORDS] if words else f"HTTP {reply.status}"
    wait = retry_after_of(reply.headers, reply.told_at or reply.received_at)
    match reply.status:
        case 429:
            return BackendRateLimitedError(told, retry_after=wait)
        case status if status in _REFUSED:
            return BackendAuthFailedError(told)
        case status if status in _SENSELESS:
            return QueryInvalidError(told)
        case status if status in _PASSES or status >= 500:
            return BackendUnreachableError(told, retry_after=wait)
    return FatalDetectionError(told)


def retry_after_of(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long to wait, from ``Retry-After`` (seconds or a date) or ``X-RateLimit-RetryAfter`` (seconds since 1970).

    Args:
        headers: by lower-case name.
        now: the present time on the product's clock, as far as that is known: dates are told by it.
    """
    waits = [_plain_wait(headers.get("retry-after", ""), now), _until(headers.get("x-ratelimit-retryafter", ""), now)]
    told = [min(max(wait, timedelta(0)), _LONGEST_WAIT) for wait in waits if wait is not None]
    return max(told, default=None)


def _plain_wait(text: str, now: datetime) -> timedelta | None:
    if _NUMBER.fullmatch(text.strip()):
        return timedelta(seconds=float(text))
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def _until(text: str, now: datetime) -> timedelta | None:
    if not _NUMBER.fullmatch(text.strip()):
        return None
    return timedelta(seconds=float(text) - now.timestamp())
