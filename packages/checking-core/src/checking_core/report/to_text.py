"""An explanation as text for a person: one fact a line. A text of an attacker is made visible, and stays one line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from checking_core.contracts import Answer, Ask, Prevention
from checking_core.report.changes import changes
from checking_core.report.escape import shortened, visible
from checking_core.report.explanation import Explanation, Rival, TakenLook
from checking_core.report.shapes import ReportedCheck, ReportedEvidence, ReportedExecution, ReportedNearMiss
from checking_core.report.why import why
from checking_core.report.words import MET, NEAR, check_of, counted_by_reason, moment, outcome_of, procedure_of

__all__ = ["to_text"]

_LONGEST = 2000
_SHOWN = 10
_UNASKED = (Answer.NOT_ASKED, Prevention.NOT_ASKED)


def to_text(told: Explanation) -> str:
    """Lines that end with a line break, and hold no other control character."""
    lines = [*_heading(told.check)]
    for title, section in _sections(told):
        if body := list(section):
            lines += ["", title, *(f"  {line}" for line in body)]
    return "".join(f"{visible(shortened(line, _LONGEST))}\n" for line in lines)


def _sections(told: Explanation) -> Iterator[tuple[str, Iterable[str]]]:
    check = told.check
    yield "Why", why(check)
    yield "Execution", _execution(told)
    yield "Asked", _asked(told)
    yield "Looks", map(_look, told.looks)
    yield "Answers", _answers(check)
    yield f"Evidence ({len(check.evidence)})", _listed([_proof(record) for record in check.evidence])
    yield f"Near misses ({sum(check.near_misses.values())})", _near_misses(check, told.execution)
    yield "Also claimed by", _listed([_rival(rival) for rival in told.rivals])
    yield "Times", _times(told)
    yield "Earlier verdicts", _earlier(told)
    yield "Notes", filter(None, (check.note, *told.warnings))
    yield "What would change it", changes(told)


def _heading(check: ReportedCheck) -> Iterator[str]:
    reason = f" ({check.reason})" if check.reason else ""
    met = f", {MET[check.met]}" if check.met else ""
    yield f"{check_of(check)}: {outcome_of(check)}{reason}; wanted {check.expect}{met}"
    yield f"check {check.id}"


def _execution(told: Explanation) -> Iterator[str]:
    execution, operation = told.execution, told.operation
    yield f"step {execution.step} of {operation.name or operation.operation_id}: {procedure_of(execution)}"
    ended = moment(execution.finished_at) or "an end that is not known"
    pid = f", pid {told.pid}" if told.pid is not None else ""
    yield f"{execution.run_state} on {execution.agent_host} from {moment(execution.started_at)} to {ended}{pid}"
    yield f"command: {execution.command}"


def _asked(told: Explanation) -> Iterator[str]:
    for key, value in told.config.items():
        yield f"{key}: {_plain(value)}"
    if told.searched_from and told.searched_to:
        yield f"searched: {moment(told.searched_from)} to {moment(told.searched_to)}"
    for line in (told.query_sent or "").splitlines():
        yield f"sent: {line}"


def _plain(value: Any) -> str:
    """Sections as ``key: value`` pairs, the rest as JSON."""
    if isinstance(value, dict) and value:
        return ", ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _look(look: TakenLook) -> str:
    reason = f" ({look.reason})" if look.reason else ""
    again = "" if look.final else ", asked again"
    return f"{look.look}: {moment(look.at)} {look.outcome or ''}{reason}{again}"


def _answers(check: ReportedCheck) -> Iterator[str]:
    if check.axes is not None:
        said = {ask: getattr(check.axes, ask) for ask in Ask}
        answers = [f"{ask} {answer}" for ask, answer in said.items() if answer not in _UNASKED]
        yield ", ".join(answers) or "nobody was asked"


def _proof(record: ReportedEvidence) -> str:
    tied = f"{record.tier}: {', '.join(record.matched)}" if record.tier else ""
    about = (record.rule if record.rule != record.title else None, record.severity, record.host)
    return ", ".join(filter(None, (*_named(record), *about, moment(record.event_at), tied, record.url)))


def _near_misses(check: ReportedCheck, execution: ReportedExecution) -> Iterator[str]:
    if check.near_misses:
        yield counted_by_reason(check.near_misses)
        left = sum(check.near_misses.values()) - len(check.nearest)
        yield from _listed([_missed(record, execution) for record in check.nearest], more=max(left, 0))


def _missed(record: ReportedNearMiss, execution: ReportedExecution) -> str:
    why_not = NEAR.get(record.reason, record.reason)
    when = _beside(record.event_at, execution) if record.event_at else ""
    return ", ".join(filter(None, (*_named(record), record.host, when))) + f": {why_not}"


def _named(record: ReportedEvidence | ReportedNearMiss) -> tuple[str, str]:
    return f"{record.kind} {record.id}", repr(record.title) if record.title else ""


def _beside(when: datetime, execution: ReportedExecution) -> str:
    """A time as seen from the execution."""
    ended = execution.finished_at or execution.started_at
    if when < execution.started_at:
        return f"{_span(execution.started_at - when)} before it began"
    return f"{_span(when - ended)} after it ended" if when > ended else "while it ran"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _rival(rival: Rival) -> str:
    stronger = f"{rival.tier}, here {rival.own_tier}"
    what = rival.procedure_name or rival.command
    return (
        f"{rival.record_id}: {what} on {rival.agent_host} at {moment(rival.started_at)} ({stronger}), {rival.check_id}"
    )


def _times(told: Explanation) -> Iterator[str]:
    """The way of the alert, each step in seconds after the start of the execution; of a miss how long none came."""
    check, started = told.check, told.execution.started_at
    way = {"event": check.event_at, "indexed": check.indexed_at, "alert created": check.alert_at}
    if any(way.values()):
        steps = {**way, "seen by us": check.seen_at}
        after = [f"{name} {(at - started).total_seconds():+.0f} s" for name, at in steps.items() if at]
        yield f"after {moment(started)}: {', '.join(after)}"
    if check.time_to_detect_s is not None:
        yield f"time to detect: {check.time_to_detect_s:.0f} s"
    asked_last = max((look.at for look in told.looks if look.at), default=None)
    if check.censored and asked_last:
        yield f"time to detect: more than {(asked_last - started).total_seconds():.0f} s"


def _earlier(told: Explanation) -> Iterator[str]:
    for verdict in told.earlier:
        what = f"{verdict.outcome} ({verdict.reason})" if verdict.reason else verdict.outcome.value
        yield f"{moment(verdict.created_at)} {what}, {MET[verdict.met]}, by look {verdict.look} of {verdict.source}"


def _listed(lines: list[str], *, more: int = 0) -> Iterator[str]:
    yield from lines[:_SHOWN]
    if hidden := max(len(lines) - _SHOWN, 0) + more:
        yield f"and {hidden} more"
