"""When an attempt is repeated inside one look. Pure: a policy, an error, a random source, and the seconds to wait."""

from __future__ import annotations

from random import Random

import msgspec

from checking_core.errors import DetectionError, RetriableDetectionError

__all__ = ["RetryPolicy"]

_MOST_DOUBLINGS = 30


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently a look is repeated.

    ``retries`` come after the first attempt. ``delay`` is the shortest wait before the first of them, in seconds; it
    doubles each time. ``cap`` is the longest wait that fits inside a look: whatever takes longer belongs to the
    store, where waiting costs a row and no worker.
    """

    retries: int = 1
    delay: float = 3.0
    cap: float = 30.0

    def wait(self, failures: int, error: DetectionError, random: Random) -> float | None:
        """Seconds until the next attempt, or ``None`` to give the look up.

        Args:
            failures: attempts that failed so far, the one that raised ``error`` included.
            error: only a ``RetriableDetectionError`` is worth another attempt.
            random: spreads the attempts of many checks that failed at the same moment.
        """
        if failures > self.retries or not isinstance(error, RetriableDetectionError):
            return None
        asked = error.retry_after.total_seconds() if error.retry_after else 0.0
        if asked > self.cap:
            return None
        backoff = self.delay * 2.0 ** min(failures - 1, _MOST_DOUBLINGS) * random.uniform(1.0, 1.5)
        return max(min(backoff, self.cap), asked)

    def budget(self, timeout: float) -> float:
        """The longest a look may take, in seconds: every attempt to its time-out, every wait to the cap."""
        return (self.retries + 1) * timeout + self.retries * self.cap
