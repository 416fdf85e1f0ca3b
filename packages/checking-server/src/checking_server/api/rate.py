"""How often somebody may ask: a bucket of tokens for each, refilled as time goes by."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

__all__ = ["Buckets"]


class Buckets:
    """Token buckets by name. One that is full again is forgotten: it is as if nobody had asked.

    Args:
        per_minute: tokens that come back in a minute; 0 for no limit at all.
        burst: tokens of a full bucket.
        most: names that are kept; beyond, those that asked longest ago are forgotten.
        clock: seconds that only go forward.
    """

    def __init__(
        self, per_minute: float, *, burst: int, most: int = 10_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, name: str) -> float:
        """Seconds until there is a token for this name; 0 if there is one."""
        if not self._per_second:
            return 0.0
        return max(0.0, (1 - self._tokens(name)) / self._per_second)

    def take(self, name: str) -> float:
        """Take a token: 0, or the seconds until there will be one, and nothing is taken."""
        if (wait := self.wait(name)) or not self._per_second:
            return wait
        self._left[name] = (self._tokens(name) - 1, self._clock())
        self._left.move_to_end(name)
        self._forget()
        return 0.0

    def _tokens(self, name: str) -> float:
        left, since = self._left.get(name, (float(self._burst), 0.0))
        return min(float(self._burst), left + (self._clock() - since) * self._per_second)

    def _forget(self) -> None:
        while self._left:
            oldest = next(iter(self._left))
            if len(self._left) <= self._most and self._tokens(oldest) < self._burst:
                return
            del self._left[oldest]
