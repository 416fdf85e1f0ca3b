"""What would change a verdict, in sentences. Nothing is escaped here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from checking_core.contracts import Expect, MatchTier, Met, Outcome, Reason
from checking_core.report.explanation import Explanation
from checking_core.report.next_steps import remedy_of
from checking_core.report.shapes import ReportedCheck
from checking_core.report.words import moment

__all__ = ["changes"]

_MISSES = (Outcome.NONE, Outcome.NO_ALERT, Outcome.LOGGED)
_BEYOND_RETRY = (Outcome.NOT_RUN, Outcome.NOT_APPLICABLE, Outcome.BLOCKED)
_WEAK = (MatchTier.NAMED_RULE, MatchTier.TECHNIQUE, MatchTier.HOST)

_IF_NEAR: Mapping[str, str] = {
    Reason.ALERT_OTHER_HOST: "Is {host} the same machine under another name? Add it to match.aliases.",
    Reason.ALERT_OTHER_RULE: "Is {title} the rule that was meant? Correct alert.rule, or write * for any part of it.",
    Reason.ALERT_OTHER_SEVERITY: "Is a lower severity enough? Correct alert.severity.",
    Reason.ALERT_OUTSIDE_WINDOW: "Does the action go on for longer than its command? Say so by activity, such as 2h; "
    "is a clock wrong? Correct it where the agent runs.",
    Reason.ALERT_FIELDS_INCOMPLETE: "Let the records say more: host, process id or command line; or ask for one host "
    "only, by ${{agent_host}} in the query.",
    Reason.SUPPRESSED: "Lift the exception that suppresses the alert in the product.",
    Reason.TOOLING: "Test the rule with another agent: it fires on the red team's tool, and might not without it.",
}
"""What a person may do about near misses of a kind, if they were not rejected rightly."""

_RULE = {
    Reason.RULE_MISSING: "Create the rule, or correct its name in the expectation.",
    Reason.RULE_DISABLED: "Switch the rule on.",
}


def changes(told: Explanation) -> list[str]:
    """Sentences, what is most likely to help first; never empty."""
    check = told.check
    found = [*_of_headline(told), *_of_near_misses(told), *_of_flags(told)]
    if not found and check.match_tier in _WEAK:
        found.append("A firmer tie: let the records tell the process id or the command line, or mark the command.")
    if not check.is_open and check.outcome not in _BEYOND_RETRY:
        found.append(f"Something new in the backend: checking retry {check.id}.")
    return found or ["Nothing: it is final."]


def _of_headline(told: Explanation) -> Iterator[str]:
    check = told.check
    if check.is_open:
        yield "The next look."
    elif check.outcome is Outcome.INCONCLUSIVE:
        yield _of_doubt(check)
    elif check.outcome is Outcome.NOT_RUN:
        yield "The execution itself: a later message that it has run opens the check."
    elif check.outcome is Outcome.NOT_APPLICABLE:
        yield "A backend that can answer this for this system."
    elif check.outcome in _MISSES and check.met is not Met.YES:
        yield from _of_miss(told)


def _of_doubt(check: ReportedCheck) -> str:
    if check.reason is Reason.NO_TELEMETRY:
        return "A sign of life: an absence proves something only where the source is known to report (alive)."
    remedy = remedy_of(check)
    return f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "A complete answer."


def _of_miss(told: Explanation) -> Iterator[str]:
    check, host = told.check, told.execution.agent_host
    if check.reason in _RULE:
        yield _RULE[check.reason]
    when = f" between {moment(told.searched_from)} and {moment(told.searched_to)}" if told.searched_to else ""
    if check.expect is Expect.LOGGED:
        yield f"An event of the action on {host}{when}."
    elif check.outcome is Outcome.LOGGED:
        yield "A rule that makes an alert of the trace that is there: its record is the evidence above."
    yield from [] if check.expect is Expect.LOGGED else [f"An alert{_named(told)} of what happened on {host}{when}."]


def _named(told: Explanation) -> str:
    alert = told.config.get("alert")
    rule = alert.get("rule") or alert.get("rule_id") if isinstance(alert, dict) else None
    return f" of the rule {rule!r}," if isinstance(rule, str) else ""


def _of_near_misses(told: Explanation) -> Iterator[str]:
    if told.check.outcome in (Outcome.BLOCKED, Outcome.ALERTED) or told.check.met is Met.YES:
        return
    for reason, advice in _IF_NEAR.items():
        if reason in told.check.near_misses:
            first = next((miss for miss in told.check.nearest if miss.reason == reason), None)
            host, title = (first.host, first.title) if first else (None, None)
            yield advice.format(host=host or "the other host", title=repr(title) if title else "the other rule")


def _of_flags(told: Explanation) -> Iterator[str]:
    check = told.check
    if check.ambiguous:
        yield "What tells the executions apart: a marker in the command, its process id, a pause between them."
    if check.in_control_window and check.outcome is not Outcome.INCONCLUSIVE:
        yield "A narrower question: the same is found without any attack."
