"""When a check is asked: after settling, then at growing intervals, and once more when its deadline has come. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from checking_core.contracts import Timing

__all__ = ["MAX_LOOKS", "OUTAGE_PATIENCE", "deadline_of", "first_look", "next_look"]

MAX_LOOKS = 8
"""Looks of one check up to its deadline, the one at the deadline included."""

OUTAGE_PATIENCE = timedelta(seconds=900)
"""How long after its acceptance a check waits for a backend that is away, whatever its deadline."""

_STEPS = 10
_LONGEST_STEP = 60.0
"""Seconds. The last look waits for the full minute after its deadline, or a tenth of the time up to that."""
_MOST_DOUBLINGS = 16
_LEAST_IN_OUTAGE = 1.0
"""Seconds: after the deadline nothing but the interval bounds the number of looks."""


def deadline_of(ended: datetime, timing: Timing) -> datetime:
    """The moment after which a complete answer that shows nothing proves that there is nothing."""
    return ended + timedelta(seconds=timing.deadline)


def first_look(ended: datetime, timing: Timing, now: datetime) -> datetime:
    """When to ask first: once the backend has had time to settle, at once when that is past already."""
    return max(ended + timedelta(seconds=timing.settle), now)


def next_look(
    look: int,
    timing: Timing,
    ended: datetime,
    accepted: datetime,
    now: datetime,
    *,
    due: datetime,
    patience: timedelta = OUTAGE_PATIENCE,
    retry_after: float = 0.0,
) -> datetime | None:
    """When to ask again after a look that was not final.

    Args:
        look: number of the look that was just answered, from 1.
        timing: the check's times.
        ended: end of the execution.
        accepted: when the execution was stored.
        now: on the same clock as ``accepted``.
        due: when the answered look was due. One that was due before the deadline may have begun before it, so that
            one more is owed; one that was due later and still is not final met an outage.
        patience: how long after ``accepted`` an outage is waited for.
        retry_after: seconds for which the backend asked not to be asked; no reason to miss the deadline or to wait
            longer than for any other outage.

    Returns:
        A time that is not before ``now``, a step after the deadline at most; ``None`` when the check has to close with
        what it has.
    """
    deadline = deadline_of(ended, timing)
    if now < deadline:
        interval = max(_doubled(timing.poll_interval, look), retry_after)
        last = _in_step(deadline, timing)
        return last if look + 1 >= MAX_LOOKS else _later(interval, now, at_most=last)
    give_up = max(deadline, accepted + patience)
    if due < deadline:
        return _later(retry_after, now, at_most=max(give_up, now))
    interval = max(_doubled(max(timing.poll_interval, _LEAST_IN_OUTAGE), look), retry_after)
    return _later(interval, now, at_most=give_up) if now < give_up else None


def _in_step(deadline: datetime, timing: Timing) -> datetime:
    """The last look together with others': one search may then prove the no of all of them."""
    step = timedelta(seconds=min(timing.deadline / _STEPS, _LONGEST_STEP))
    behind = (deadline - datetime(1970, 1, 1, tzinfo=UTC)) % step if step else step
    return deadline + (step - behind) if behind else deadline


def _doubled(interval: float, look: int) -> float:
    """The interval doubles with every look."""
    return interval * 2.0 ** min(max(look, 1) - 1, _MOST_DOUBLINGS)


def _later(interval: float, now: datetime, *, at_most: datetime) -> datetime:
    """The last interval is clipped."""
    return now + timedelta(seconds=interval) if interval < (at_most - now).total_seconds() else at_most
