"""When the traces of an execution may lie: the windows of a check. Pure.

The red team's server brackets a run by its own clock, in whole seconds; records carry the clock of the host or of the
backend. How far these are apart is measured where the agent told its own time, and allowed for everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec

from checking_core.contracts import Clock, ExecutionContext, Timing
from checking_core.errors import QueryInvalidError

__all__ = ["Window", "Windows", "windows_of"]

_NOTHING = timedelta(0)
_RESOLUTION = timedelta(seconds=1)
"""Times of the red team are cut to whole seconds: what ended at 12:00:05 may have ended as late as 12:00:06."""
_UNMEASURED = {
    Clock.SERVER: timedelta(seconds=2),
    Clock.AGENT: timedelta(seconds=2),
    Clock.MESSAGE: timedelta(minutes=1),
}
"""How far a clock is trusted that nothing was measured of."""
_MOST_SKEW = timedelta(hours=1)
"""A clock that is further off is broken; widening the windows for it would only invite strangers. So they are not
widened any more, and that they hold nothing proves nothing."""
_MOST_AHEAD = timedelta(days=1)
_LONGEST_RUN = timedelta(days=30)
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
"""What lies before is the zero of somebody's clock."""
_MOST_LATE = timedelta(days=1)
"""How long after the window an alert about it may still be raised."""


class Window(msgspec.Struct, frozen=True):
    """A span of time, both ends included."""

    start: datetime
    end: datetime

    def holds(self, start: datetime, end: datetime | None = None) -> bool:
        """Whether a moment, or any part of an interval, lies inside; of a reversed one the span between counts."""
        first, last = sorted((start, end or start))
        return first <= self.end and last >= self.start

    def widened(self, before: timedelta, after: timedelta) -> Self:
        """The window with more room on both sides."""
        return type(self)(self.start - before, self.end + after)


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of one check.

    ``run`` is when the execution ran, ``lived`` the same on any clock: after it the execution's process id may be
    somebody else's. A record's event belongs to ``accepted``; ``searched`` is wider, so that what lies just outside can
    be shown as such, and ``alerts`` goes on to the present, for an alert may be raised long after its event.
    ``control`` is as long as ``accepted`` and ends before the operation began. ``astray`` is how far the host's clock
    is off if that is more than the windows allow for: what the execution left may then lie outside of all of them.
    """

    run: Window
    lived: Window
    accepted: Window
    searched: Window
    alerts: Window
    control: Window
    astray: timedelta | None = None


def windows_of(context: ExecutionContext, timing: Timing, *, now: datetime, activity: float = 0.0) -> Windows:
    """The windows of an execution's checks.

    Args:
        context: its times; of reversed ones the span between them counts.
        timing: ``before`` and ``after``, in seconds.
        now: stands in for an execution that tells no time at all.
        activity: seconds for which the action goes on after its start, whatever its command reported.

    Raises:
        QueryInvalidError: the times cannot be those of an execution.
    """
    bracket = _bracket(context, now)
    run = Window(bracket.start, max(bracket.end, bracket.start + timedelta(seconds=activity)))
    behind, ahead = _skew(context, bracket)
    lived = run.widened(min(behind, _MOST_SKEW), min(ahead, _MOST_SKEW))
    accepted = lived.widened(_NOTHING, timedelta(seconds=timing.after))
    searched = accepted.widened(timedelta(seconds=timing.before), _NOTHING)
    return Windows(
        run=run,
        lived=lived,
        accepted=accepted,
        searched=searched,
        alerts=Window(searched.start, min(max(searched.end, now), searched.end + _MOST_LATE)),
        control=_control(context, accepted, searched, run.start - lived.start),
        astray=_astray(context, behind, ahead),
    )


def _bracket(context: ExecutionContext, now: datetime) -> Window:
    started = _aware(context.started_at or context.started_at_least or context.agent_reported_time)
    finished = _aware(context.finished_at)
    first = started or finished or now
    start, end = sorted((first, finished or first))
    if end > now + _MOST_AHEAD:
        raise QueryInvalidError("the execution lies in the future; correct the clock of whoever reported it")
    if start < _OLDEST or end - start > _LONGEST_RUN:
        raise QueryInvalidError(f"the execution cannot have run from {start} to {end}; correct what was reported")
    return Window(start, end + _RESOLUTION)


def _skew(context: ExecutionContext, bracket: Window) -> tuple[timedelta, timedelta]:
    """How far the host's clock may be behind and ahead of the one that the bracket is on.

    The agent told its own time of an event that lies in the server's bracket: whatever it is outside of that is skew.
    """
    allowed = _UNMEASURED[context.clock]
    told = _aware(context.agent_reported_time)
    if told is None or context.clock is not Clock.SERVER:
        return allowed, allowed
    measured = bracket.start - told, told - bracket.end
    behind, ahead = (max(skew, _NOTHING) + allowed for skew in measured)
    return behind, ahead


def _astray(context: ExecutionContext, behind: timedelta, ahead: timedelta) -> timedelta | None:
    """An agent that reports late is not ahead where nobody tells when the execution ended."""
    skew = max(behind, ahead) if context.finished_at else behind
    return skew if skew > _MOST_SKEW else None


def _control(context: ExecutionContext, accepted: Window, searched: Window, skew: timedelta) -> Window:
    """What the operation did first, seen on a clock that is behind, is not the time before it either."""
    operation = _aware(context.operation_started_at)
    end = min(searched.start, operation - skew) if operation else searched.start
    return Window(end - (accepted.end - accepted.start), end)


def _aware(moment: datetime | None) -> datetime | None:
    """Without an offset it is read as UTC, as everywhere."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
