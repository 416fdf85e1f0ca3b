"""Why a headline is what it is, in sentences. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from checking_core.contracts import Answer, Axes, EvidenceKind, Expect, MatchTier, Met, Outcome, Prevention, Reason
from checking_core.report.shapes import ReportedCheck
from checking_core.report.words import counted_by_reason, moment

__all__ = ["MEANING", "TIED", "why"]

MEANING: Mapping[Reason, str] = {
    Reason.MATCHED_ALERT: "a rule of the product raised an alert that belongs to this execution",
    Reason.MATCHED_RULE: "the detection logic hits telemetry of this execution, which proves no alert",
    Reason.TELEMETRY_ONLY: "the raw trace is there, and nothing else was asked",
    Reason.NO_TELEMETRY: "no trace of this execution is in the telemetry",
    Reason.SOURCE_SILENT: "the source reported nothing at all for this host and time, so what it lacks proves nothing",
    Reason.TELEMETRY_WITHOUT_ALERT: "the raw trace is there, and no rule made anything of it",
    Reason.PREVENTED: "the product stopped the action",
    Reason.PREEMPTED: "the action was stopped before its rule had anything to see, which is no miss",
    Reason.RULE_MISSING: "the product knows no rule of that name or id",
    Reason.RULE_DISABLED: "the rule is switched off in the product",
    Reason.ALERT_OTHER_HOST: "what came nearest happened on another host",
    Reason.ALERT_OTHER_RULE: "what came nearest was raised by another rule",
    Reason.ALERT_OTHER_SEVERITY: "what came nearest has another severity",
    Reason.ALERT_OUTSIDE_WINDOW: "what came nearest happened at another time",
    Reason.ALERT_FIELDS_INCOMPLETE: "what came nearest does not say enough to be told from something else",
    Reason.SUPPRESSED: "what came nearest is suppressed in the product: nobody gets to see it",
    Reason.TOOLING: "what came nearest speaks of the red team's own process, not of what that started",
    Reason.IN_CONTROL_WINDOW: "the same was found before the operation began, so it happens without any attack",
    Reason.CLOCK_ASTRAY: "the host's clock is so far off that nobody knows where its traces lie",
    Reason.EXECUTION_FAILED: "the execution failed and left nothing, so nobody knows whether it would have been seen",
    Reason.EXECUTION_SKIPPED: "the execution never ran",
    Reason.BACKEND_UNREACHABLE: "the backend did not answer",
    Reason.BACKEND_AUTH_FAILED: "the backend did not accept the credentials",
    Reason.BACKEND_RATE_LIMITED: "the backend refused to be asked so often",
    Reason.BACKEND_PARTIAL_ANSWER: "the backend answered from a part of its data",
    Reason.QUERY_INVALID: "the question itself is wrong",
    Reason.NOT_CONVERTIBLE: "the rule cannot be converted for this backend",
    Reason.CAPABILITY_MISSING: "the plugin cannot answer what was asked",
    Reason.UNSUPPORTED_PLATFORM: "nobody serves this backend",
    Reason.OTHER_OS: "the check is for another operating system",
    Reason.DEADLINE_NOT_REACHED: "the last answer came before the deadline, when a no proves nothing yet",
    Reason.DEADLINE_PASSED: "the deadline passed, and nothing had come",
    Reason.PLUGIN_ERROR: "the plugin failed",
    Reason.WORKER_LOST: "the worker that had the task never answered",
    Reason.CANCELLED: "a person cancelled it",
    Reason.OVERRIDDEN: "a person decided",
}

TIED: Mapping[MatchTier, str] = {
    MatchTier.MARKER: "its marker",
    MatchTier.PROCESS: "host and process",
    MatchTier.ARTEFACT: "host and command line, hash or user",
    MatchTier.NAMED_RULE: "host and the rule that was named",
    MatchTier.TECHNIQUE: "host and ATT&CK technique",
    MatchTier.HOST: "the host alone",
}
"""What ties a record to the execution, by the tier."""


def why(check: ReportedCheck) -> list[str]:
    """Sentences: what the headline says, what the reason adds, how it compares to what was wanted, and each flag."""
    if check.is_open:
        when = f"It is asked next at {moment(check.next_look_at)}." if check.next_look_at else "It is being asked."
        return [when, f"A no can be proven from {moment(check.deadline)} on."]
    axes = check.axes or Axes()
    told = [_HEADLINES[check.outcome](check, axes)]
    if check.reason is not None and (check.outcome, check.reason) not in _SAID:
        told.append(_sentence(MEANING[check.reason]))
    if check.near_misses:
        told.append(f"Records that were looked at and rejected: {counted_by_reason(check.near_misses)}.")
    return [*told, *_measured(check), *(FLAG[name](check) for name in FLAG if getattr(check, name))]


_SAID = frozenset(
    {
        (Outcome.BLOCKED, Reason.PREVENTED),
        (Outcome.BLOCKED, Reason.MATCHED_ALERT),
        (Outcome.ALERTED, Reason.MATCHED_ALERT),
        (Outcome.MATCHED, Reason.MATCHED_RULE),
        (Outcome.LOGGED, Reason.TELEMETRY_ONLY),
        (Outcome.LOGGED, Reason.TELEMETRY_WITHOUT_ALERT),
        (Outcome.NONE, Reason.NO_TELEMETRY),
        (Outcome.NO_ALERT, Reason.DEADLINE_PASSED),
        (Outcome.NOT_RUN, Reason.EXECUTION_SKIPPED),
    }
)
"""Reasons that the headline's own sentence has told already."""

_PROVEN = "Every answer was complete, and the look began after the deadline."

_HEADLINES: Mapping[Outcome, Callable[[ReportedCheck, Axes], str]] = {
    Outcome.BLOCKED: lambda _, axes: f"The product stopped the action{_beside_a_block(axes)}.",
    Outcome.ALERTED: lambda check, _: (
        f"A rule of the product raised an alert that belongs to this execution{_tied(check, EvidenceKind.ALERT)}."
    ),
    Outcome.MATCHED: lambda check, axes: (
        f"The detection logic hits telemetry of this execution{_tied(check, EvidenceKind.MATCH)}"
        f"{'; the product itself raised no alert' if axes.alert is Answer.NO else ''}."
    ),
    Outcome.LOGGED: lambda check, axes: (
        f"The raw trace of this execution is there{_tied(check, EvidenceKind.EVENT)}; {_quiet(axes)}."
    ),
    Outcome.NONE: lambda *_: f"The source was reporting, and nothing of this execution is in it. {_PROVEN}",
    Outcome.NO_ALERT: lambda _, axes: (
        f"{_sentence(_quiet(axes))} {_PROVEN} Whether the raw trace is there was not asked."
    ),
    Outcome.NOT_APPLICABLE: lambda *_: "The check does not apply.",
    Outcome.NOT_RUN: lambda *_: "The execution never ran: there was nothing to see.",
    Outcome.INCONCLUSIVE: lambda *_: "Nothing can be concluded, neither that it was seen nor that it was missed.",
}


def _beside_a_block(axes: Axes) -> str:
    if axes.alert is Answer.YES:
        return ", and raised an alert"
    return "; its rules had nothing left to see" if Answer.NO in (axes.alert, axes.rule) else ""


def _tied(check: ReportedCheck, kind: EvidenceKind) -> str:
    """What ties the firmest record of the headline's own kind: a trace may be tied more firmly than the alert."""
    tiers = [record.tier for record in check.evidence if record.kind is kind and record.tier]
    tier = min(tiers, key=list(MatchTier).index, default=check.match_tier)
    return f", tied to it by {TIED[tier]}" if tier else ""


def _quiet(axes: Axes) -> str:
    asked = {"no alert": axes.alert, "no hit of the detection logic": axes.rule}
    noes = [what for what, answer in asked.items() if answer is Answer.NO]
    return f"{' and '.join(noes)} belongs to it" if noes else "nothing else was asked"


def _measured(check: ReportedCheck) -> Iterator[str]:
    if check.expect is Expect.OBSERVE:
        yield "It only observes: all alerts of the host in this time are listed, and none is wanted."
    elif check.met is Met.NO:
        yield f"Wanted was {check.expect}, and that is disproven."
    elif check.met is Met.UNKNOWN:
        yield f"Wanted was {check.expect}; whether that holds is not known."
    if check.axes is not None and check.axes.prevention is Prevention.TERMINATED:
        yield "The product ended the action after it had begun."
    if check.censored:
        yield "No alert came in all the time it was waited for: the time to detect is longer than that."


def _in_control_window(check: ReportedCheck) -> str:
    lift = f" ({check.lift:g} now for each of then)" if check.lift is not None else ""
    return f"in_control_window: the same question had matches before the operation began{lift}."


FLAG: Mapping[str, Callable[[ReportedCheck], str]] = {
    "late": lambda check: f"late: the alert came after the deadline, {moment(check.deadline)}.",
    "ambiguous": lambda _: "ambiguous: all that it rests on is claimed by other executions as well.",
    "in_control_window": _in_control_window,
    "tooling": lambda _: "tooling: the rule also fires on the red team's own process.",
    "overridden": lambda _: "overridden: a person decided this verdict.",
}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
