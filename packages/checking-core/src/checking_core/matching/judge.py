"""From answers to a verdict: the one table of what may be concluded from what a backend said. Pure.

Two rules carry the table. A *yes* counts whenever it comes, also from a partial answer. A *no* counts only when it is
proven: the answer was complete, the look began after the deadline, and the source was not silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from checking_core.contracts import Answer, Axes, CheckStatus, DetectionResult, Expect, Met, Outcome, Prevention, Reason

__all__ = [
    "Judgement",
    "axes_decided",
    "detected_of",
    "judge",
    "met_of",
    "original_verdict",
    "outranks",
    "result_axes_from_original",
    "status_of",
]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What one look amounts to.

    ``axes`` are the answers with every unproven no turned into unknown. ``outcome``, ``reason`` and ``status`` are
    what the check closes with if no further look is taken; ``final`` says that none is needed.
    """

    axes: Axes
    outcome: Outcome
    reason: Reason
    detected: bool | None
    final: bool
    status: CheckStatus


def _asked(axes: Axes) -> Sequence[Answer]:
    """The answers about our logic: product rules and our own rule, as far as they were asked."""
    return [answer for answer in (axes.alert, axes.rule) if answer is not Answer.NOT_ASKED]


def _unseen(axes: Axes) -> bool:
    """Every asked alert and rule is a proven no."""
    return all(answer is Answer.NO for answer in _asked(axes))


class _Headline(NamedTuple):
    """A row of the table: when the headline holds, and when it needs no look at the deadline to be complete."""

    outcome: Outcome
    holds: Callable[[Axes], bool]
    settled: Callable[[Axes], bool] = lambda _: False


_HEADLINES = (
    _Headline(
        Outcome.BLOCKED,
        holds=lambda axes: axes.prevention is Prevention.BLOCKED,
        settled=lambda axes: axes.alert is not Answer.UNKNOWN,
    ),
    _Headline(
        Outcome.ALERTED,
        holds=lambda axes: axes.alert is Answer.YES,
        settled=lambda axes: axes.prevention is not Prevention.UNKNOWN,
    ),
    _Headline(
        Outcome.MATCHED,
        holds=lambda axes: axes.rule is Answer.YES,
        settled=lambda axes: axes.alert is not Answer.UNKNOWN and axes.prevention is not Prevention.UNKNOWN,
    ),
    _Headline(
        Outcome.LOGGED,
        holds=lambda axes: axes.telemetry is Answer.YES and _unseen(axes),
        settled=lambda axes: axes.prevention is not Prevention.UNKNOWN,
    ),
    _Headline(
        Outcome.NONE,
        holds=lambda axes: axes.telemetry is Answer.NO and axes.alive is Answer.YES and _unseen(axes),
    ),
    _Headline(
        Outcome.NO_ALERT,
        holds=lambda axes: axes.telemetry is Answer.NOT_ASKED and bool(_asked(axes)) and _unseen(axes),
    ),
    _Headline(Outcome.INCONCLUSIVE, holds=lambda _: True),
)
"""The headline is the first row that holds. A hit is not settled while a stronger answer may still come."""

_HITS = (Outcome.BLOCKED, Outcome.ALERTED, Outcome.MATCHED, Outcome.LOGGED)


def judge(axes: Axes, *, proven: bool, reason: Reason | None = None) -> Judgement:
    """Judge the answers of one look.

    Args:
        axes: as answered; a question that was asked and not answered is ``unknown``, never ``not_asked``.
        proven: the answer was complete and the look began after the deadline, so that a no is a no.
        reason: what the detector or the worker knows about a miss; a hit explains itself.
    """
    axes = _with_proven_noes(axes, proven=proven)
    outcome, _, settled = next(row for row in _HEADLINES if row.holds(axes))
    return Judgement(
        axes=axes,
        outcome=outcome,
        reason=_reason(outcome, axes, proven=proven, given=reason),
        detected=detected_of(axes),
        final=proven or settled(axes),
        status=status_of(outcome),
    )


def _with_proven_noes(axes: Axes, *, proven: bool) -> Axes:
    """A silent source proves no absence; that it is silent is itself a fact once proven."""
    silent = axes.alive is Answer.NO and Answer.YES not in (axes.telemetry, axes.rule)
    if proven and not silent:
        return axes

    def open_no(answer: Answer) -> Answer:
        return Answer.UNKNOWN if answer is Answer.NO else answer

    spared = axes.prevention is not Prevention.NOT_BLOCKED or axes.alert is Answer.YES
    return Axes(
        prevention=axes.prevention if spared else Prevention.UNKNOWN,
        alert=open_no(axes.alert),
        rule=open_no(axes.rule),
        telemetry=open_no(axes.telemetry),
        alive=axes.alive if proven else open_no(axes.alive),
    )


def _reason(outcome: Outcome, axes: Axes, *, proven: bool, given: Reason | None) -> Reason:
    match outcome:
        case Outcome.BLOCKED | Outcome.ALERTED | Outcome.MATCHED:
            return _reason_of_hit(axes)
        case Outcome.LOGGED:
            return given or (Reason.TELEMETRY_WITHOUT_ALERT if _asked(axes) else Reason.TELEMETRY_ONLY)
        case Outcome.NONE:
            return given or Reason.NO_TELEMETRY
        case Outcome.NO_ALERT:
            return given or Reason.DEADLINE_PASSED
        case _:
            return _reason_of_doubt(axes, proven=proven, given=given)


def _reason_of_hit(axes: Axes) -> Reason:
    """On a blocked step a rule that kept quiet had nothing left to see: preempted, not missed."""
    if axes.alert is Answer.YES:
        return Reason.MATCHED_ALERT
    if axes.rule is Answer.YES:
        return Reason.MATCHED_RULE
    return Reason.PREEMPTED if Answer.NO in _asked(axes) else Reason.PREVENTED


_OF_A_MISS = frozenset(
    {
        Reason.ALERT_OTHER_HOST,
        Reason.ALERT_OTHER_RULE,
        Reason.ALERT_OTHER_SEVERITY,
        Reason.ALERT_OUTSIDE_WINDOW,
        Reason.RULE_DISABLED,
        Reason.RULE_MISSING,
        Reason.SUPPRESSED,
        Reason.TOOLING,
    }
)
"""What explains a no, and therefore not why there is none."""


def _reason_of_doubt(axes: Axes, *, proven: bool, given: Reason | None) -> Reason:
    if given is not None and given not in _OF_A_MISS:
        return given
    if not proven:
        return Reason.DEADLINE_NOT_REACHED
    if axes.alive is Answer.NO:
        return Reason.SOURCE_SILENT
    if axes.telemetry is Answer.NO:
        return Reason.NO_TELEMETRY
    return given or Reason.BACKEND_PARTIAL_ANSWER


def detected_of(axes: Axes) -> bool | None:
    """The original's tri-state, of judged axes: a hit, a proven miss, or nothing known.

    A blocked step without a hit is ``None``: its rules were preempted.
    """
    asked = _asked(axes)
    if Answer.YES in asked:
        return True
    return False if asked and _unseen(axes) and axes.prevention is not Prevention.BLOCKED else None


def status_of(outcome: Outcome) -> CheckStatus:
    """The status of a check that closes with this outcome."""
    if outcome is Outcome.PENDING:
        return CheckStatus.PENDING
    return CheckStatus.FAILED if outcome is Outcome.INCONCLUSIVE else CheckStatus.COMPLETED


def outranks(outcome: Outcome, other: Outcome) -> bool:
    """Whether a headline shows more than another one. Only a yes shows anything: the others are all alike."""
    return _shown(outcome) > _shown(other)


def _shown(outcome: Outcome) -> int:
    return len(_HITS) - _HITS.index(outcome) if outcome in _HITS else 0


def met_of(
    expect: Expect, outcome: Outcome, axes: Axes, *, execution_failed: bool = False
) -> tuple[Met, Reason | None]:
    """Measure a closed check against what its author wanted.

    Args:
        expect: what was wanted.
        outcome: the headline.
        axes: judged axes, so that every no in them is proven.
        execution_failed: the step did not do what it should have done.

    Returns:
        Whether it was met, and the reason that replaces the verdict's own where the measure has one.
    """
    met = _WANTED[expect](outcome, axes)
    if execution_failed and expect is not Expect.OBSERVE and _left_nothing(outcome, axes, met):
        return Met.UNKNOWN, Reason.EXECUTION_FAILED
    logic_wanted = expect in (Expect.ALERTED, Expect.MATCHED, Expect.LOGGED)
    if outcome is Outcome.BLOCKED and logic_wanted and met is not Met.YES:
        return Met.UNKNOWN, Reason.PREEMPTED
    return met, None


def _left_nothing(outcome: Outcome, axes: Axes, met: Met) -> bool:
    traces = Answer.YES in (axes.alert, axes.rule, axes.telemetry)
    stopped = axes.prevention in (Prevention.BLOCKED, Prevention.TERMINATED)
    known = met is not Met.UNKNOWN or outcome in (Outcome.NONE, Outcome.NO_ALERT)
    return known and not traces and not stopped


def _met(*, yes: bool, no: bool) -> Met:
    if yes:
        return Met.YES
    return Met.NO if no else Met.UNKNOWN


_WANTED: dict[Expect, Callable[[Outcome, Axes], Met]] = {
    Expect.BLOCKED: lambda _, axes: _met(
        yes=axes.prevention is Prevention.BLOCKED,
        no=axes.prevention in (Prevention.TERMINATED, Prevention.NOT_BLOCKED),
    ),
    Expect.ALERTED: lambda _, axes: _met(yes=axes.alert is Answer.YES, no=axes.alert is Answer.NO),
    Expect.MATCHED: lambda _, axes: _met(yes=Answer.YES in _asked(axes), no=bool(_asked(axes)) and _unseen(axes)),
    Expect.LOGGED: lambda outcome, axes: _met(
        yes=Answer.YES in (axes.telemetry, *_asked(axes)), no=outcome is Outcome.NONE
    ),
    Expect.SILENT: lambda outcome, axes: _met(
        yes=outcome is not Outcome.BLOCKED and bool(_asked(axes)) and _unseen(axes),
        no=outcome is Outcome.BLOCKED or Answer.YES in _asked(axes),
    ),
    Expect.OBSERVE: lambda outcome, _: _met(yes=outcome in _OBSERVED, no=False),
}
"""What each expectation is satisfied by, and what disproves it; everything else leaves it unknown."""

_OBSERVED: frozenset[Outcome] = frozenset(row.outcome for row in _HEADLINES) - {Outcome.INCONCLUSIVE}


def axes_decided(outcome: Outcome, asked: Axes) -> Axes:
    """What a person who gives this headline says of each question.

    Args:
        outcome: the headline.
        asked: the verdict that it replaces; what that did not ask was not asked, unless the headline tells it, and
            what it says of less than the headline stays: an alert takes no telemetry away.
    """
    if outcome not in _DECIDED:
        return Axes(
            prevention=_if_asked(asked.prevention, Prevention.UNKNOWN),
            **{name: _if_asked(getattr(asked, name), Answer.UNKNOWN) for name in _ANSWERS},
        )
    noes = Axes(
        prevention=_if_asked(asked.prevention, Prevention.NOT_BLOCKED),
        **{name: _if_asked(getattr(asked, name), Answer.NO) for name in _ANSWERS[:-1]},
        alive=_if_asked(asked.alive, Answer.YES),
    )
    less = {name: getattr(asked, name) for name in _LESS.get(outcome, ())}
    return msgspec.structs.replace(noes, **less, **_DECIDED[outcome])


_ANSWERS = ("alert", "rule", "telemetry", "alive")
_DECIDED: dict[Outcome, dict[str, Answer | Prevention]] = {
    Outcome.BLOCKED: {"prevention": Prevention.BLOCKED},
    Outcome.ALERTED: {"alert": Answer.YES},
    Outcome.MATCHED: {"rule": Answer.YES},
    Outcome.LOGGED: {"telemetry": Answer.YES},
    Outcome.NONE: {"telemetry": Answer.NO, "alive": Answer.YES},
    Outcome.NO_ALERT: {"alert": Answer.NO, "telemetry": Answer.NOT_ASKED},
}
_LESS: dict[Outcome, tuple[str, ...]] = {
    Outcome.BLOCKED: ("alert", "rule", "telemetry"),
    Outcome.ALERTED: ("rule", "telemetry"),
    Outcome.MATCHED: ("telemetry",),
}


def _if_asked(answer: Any, then: Any) -> Any:
    return answer if answer == Answer.NOT_ASKED else then


def result_axes_from_original(detected: bool | None, status: CheckStatus) -> Axes:
    """The axes of a worker that knows only ``detected``: it ran a query over telemetry, so it answers ``rule``."""
    if status is not CheckStatus.COMPLETED or detected is None:
        return Axes(rule=Answer.UNKNOWN)
    return Axes(rule=Answer.YES if detected else Answer.NO)


def original_verdict(result: DetectionResult, *, deadline_passed: bool) -> DetectionResult:
    """The result of a worker of the original system, with the verdict that it did not write itself.

    A failed or undecided answer is not final: it was no answer.
    """
    axes = result_axes_from_original(result.detected, result.status)
    answered = axes.rule is not Answer.UNKNOWN
    judged = judge(axes, proven=deadline_passed and answered, reason=None if answered else Reason.PLUGIN_ERROR)
    return msgspec.structs.replace(
        result,
        rule=judged.axes.rule,
        outcome=judged.outcome,
        reason=judged.reason,
        detected=judged.detected,
        final=judged.final,
        status=judged.status,
    )
