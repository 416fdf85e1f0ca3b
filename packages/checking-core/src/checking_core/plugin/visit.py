"""What a self-check of a product has in common with every other: it says what is right and what is not, in words."""

from __future__ import annotations

from datetime import datetime

from checking_core.plugin.base import Health

__all__ = ["Visit"]


class Visit:
    """One visit.

    Args:
        now: the present time.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._well = True
        self._words: list[str] = []

    @property
    def found(self) -> Health:
        """All that was said so far."""
        return Health(ok=self._well, detail="; ".join(self._words))

    def say(self, *words: str, well: bool = True) -> None:
        """Tell something of the product; what is not well spoils the whole."""
        self._words += words
        self._well &= well

    def say_clock(self, offset: float | None) -> None:
        """Tell how far the product's clock is off, in seconds, where that is known."""
        if offset is not None:
            self.say(f"clock {offset:+.0f} s")

    def age(self, record: str, moment: datetime, *, more: str = "") -> str:
        """How old the newest record of a kind is."""
        return f"newest {record} {(self._now - moment).total_seconds() / 60:.0f} minutes old{more}"
