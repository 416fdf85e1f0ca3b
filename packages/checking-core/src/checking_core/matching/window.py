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

_RESOLUTION = timedelta(seconds=1)
"""Times of the red team are cut to whole seconds: what ended at 12:00:05 may have ended as late as 12:00:06."""
_UNMEASURED = {
    Clock.SERVER: timedelta(seconds=2),
    Clock.AGENT: timedelta(seconds=2),
    Clock.MESSAGE: timedelta(minutes=1),
}
"""How far a clock is trusted that nothing was measured of."""
_MOST_SKEW = timedelta(hours=1)
"""A clock that is further off is broken; widening the windows for it would only invite strangers."""
_MOST_AHEAD = timedelta(days=1)


class Window(msgspec.Struct, frozen=True):
    """A span of time, both ends included."""

    start: datetime
    end: datetime

    def holds(self, start: datetime, end: datetime | None = None) -> bool:
        """Whether a moment, or any part of an interval, lies inside."""
        return start <= self.end and (end or start) >= self.start

    def widened(self, before: timedelta, after: timedelta) -> Self:
        """The window with more room on both sides."""
        return type(self)(self.start - before, self.end + after)


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """The windows of one check.

    ``run`` is when the execution ran. A record's event belongs to ``accepted``; ``searched`` is wider, so that what
    lies just outside can be shown as such. ``control`` is as long as ``accepted`` and ends before the operation began.
    """

    run: Window
    accepted: Window
    searched: Window
    control: Window


def windows_of(
    context: ExecutionContext,
    timing: Timing,
    *,
    now: datetime,
    activity: float = 0.0,
    clock_offset: float = 0.0,
) -> Windows:
    """The windows of an execution's checks.

    Args:
        context: its times; of reversed ones the span between them counts.
        timing: ``before`` and ``after``, in seconds.
        now: stands in for an execution that tells no time at all.
        activity: seconds for which the action goes on after its start, whatever its command reported.
        clock_offset: backend minus worker, in seconds, where it was measured.

    Raises:
        QueryInvalidError: the execution lies in the future.
    """
    run = _run(context, now, timedelta(seconds=activity))
    if run.start > now + _MOST_AHEAD:
        raise QueryInvalidError("the execution lies in the future; correct the clock of whoever reported it")
    skew = min(max(_skew(context, run), timedelta(seconds=abs(clock_offset))), _MOST_SKEW)
    before, after = timedelta(seconds=timing.before), timedelta(seconds=timing.after)
    accepted = run.widened(skew, after + skew)
    searched = accepted.widened(before, timedelta(0))
    return Windows(run=run, accepted=accepted, searched=searched, control=_control(context, accepted, searched))


def _run(context: ExecutionContext, now: datetime, activity: timedelta) -> Window:
    started = _aware(context.started_at or context.started_at_least or context.agent_reported_time)
    finished = _aware(context.finished_at)
    first = started or finished or now
    last = finished or first
    start, end = min(first, last), max(first, last)
    return Window(start, max(end + _RESOLUTION, start + activity))


def _skew(context: ExecutionContext, run: Window) -> timedelta:
    """How far the host's clock may be from the one that ``run`` is on.

    The agent told its own time of an event that lies in the server's bracket: whatever it is outside of that is skew.
    """
    told = _aware(context.agent_reported_time)
    allowed = _UNMEASURED[context.clock]
    if told is None or context.clock is not Clock.SERVER:
        return allowed
    return max(run.start - told, told - run.end, timedelta(0)) + allowed


def _control(context: ExecutionContext, accepted: Window, searched: Window) -> Window:
    operation = _aware(context.operation_started_at)
    end = min(searched.start, operation) if operation else searched.start
    return Window(end - (accepted.end - accepted.start), end)


def _aware(moment: datetime | None) -> datetime | None:
    """Without an offset it is read as UTC, as everywhere."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
