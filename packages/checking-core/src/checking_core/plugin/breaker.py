"""Spares a backend that is away: after a row of outages nobody asks it for a while. Pure but for its clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from checking_core.errors import BackendUnreachableError

__all__ = ["CircuitBreaker"]


class CircuitBreaker:
    """Closed while the backend answers; open for a time after ``threshold`` outages in a row.

    When that time is over one question is let through, the probe: an answer closes the circuit, a failure opens it for
    twice as long. Questions that were under way when it opened change nothing by failing too.

    Args:
        clock: the present time.
        threshold: outages in a row.
        pause: the first time that it stays open.
        longest: the longest.
    """

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        threshold: int = 5,
        pause: timedelta = timedelta(seconds=15),
        longest: timedelta = timedelta(minutes=5),
    ) -> None:
        self._clock = clock
        self._threshold = threshold
        self._first = self._pause = pause
        self._longest = longest
        self._failures = 0
        self._open_until: datetime | None = None
        self._probing = False

    def check(self) -> None:
        """Let a question through, or not.

        Raises:
            BackendUnreachableError: the circuit is open; says for how long.
        """
        if self._open_until is None:
            return
        left = self._open_until - self._clock()
        if left > timedelta(0):
            words = f"{self._failures} questions in a row failed; not asked again for {left.total_seconds():.0f} s"
            raise BackendUnreachableError(words, retry_after=left)
        self._probing = True
        self._open_until = self._clock() + self._pause  # whoever comes while the probe is out waits for it

    def answered(self) -> None:
        """The backend is there, whatever it said."""
        self._failures, self._open_until, self._pause, self._probing = 0, None, self._first, False

    def failed(self) -> None:
        """It did not answer."""
        self._failures += 1
        if self._probing:
            self._pause = min(self._pause * 2, self._longest)
        elif self._open_until is not None or self._failures < self._threshold:
            return
        self._probing = False
        self._open_until = self._clock() + self._pause
