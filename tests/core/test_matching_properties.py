"""What holds for every answer, whatever is in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import Answer, Ask, Axes, Clock, DetectionConfig, Outcome, Reason, Timing
from checking_core.matching.identity import identity_of
from checking_core.matching.judge import Judgement, judge, outranks
from checking_core.matching.question import question_of
from checking_core.matching.record import Alert, AnyRecord
from checking_core.matching.sift import Sifted, sift
from checking_core.matching.window import windows_of
from checking_core.testing.builders import STARTED, a_context

from .records import COMMAND, PID, after, an_alert

TIMING = Timing(before=30, after=900, settle=60, deadline=1200)
CONFIG = DetectionConfig.model_validate(
    {
        "alert": {"rule": "LSASS*", "severity": ">=medium"},
        "rule": {"query": "x"},
        "telemetry": {"query": "x"},
        "alive": {"query": "x"},
        "match": {"marker": "run-0001", "addresses": ["192.0.2.10"]},
    }
)
CONTEXT = a_context(
    clock=Clock.SERVER, agent_pid=7, user="alice", agent_reported_time=after(0), operation_started_at=after(-60)
)
ASKS = (Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE)

moments = st.none() | st.floats(-2000, 2000).map(after)


def some(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


records = st.builds(
    Alert,
    id=st.uuids().map(str),
    title=some("", "run-0001", "run-00010"),
    hosts=some((), ("ws01",), ("WS01.corp.example",), ("ws02",), ("unknown",)),
    addresses=some((), ("192.0.2.10",), ("192.0.2.1",)),
    users=some((), ("alice",), ("bob",)),
    pid=some(None, PID, 7, 5),
    ancestors=some((), (PID,), (7, 1)),
    commands=some((), (COMMAND,), ("notepad.exe",), ("",)),
    techniques=some((), ("T1003",), ("T1003.001",), ("T1059",), ("",)),
    rule=some(None, "LSASS dump", "Mimikatz"),
    severity=some(None, "high", "low", "73"),
    suppressed=some(False, False, True),
    event_at=moments,
    event_until=moments,
    created_at=moments,
)
answers = st.fixed_dictionaries({ask: st.lists(records, max_size=4) for ask in ASKS})


def told_apart(
    answers: dict[Ask, list[AnyRecord]], *, by: timedelta = timedelta(0), now: datetime | None = None
) -> dict[Ask, Sifted]:
    """The answers of one look at the execution, whose times are all later ``by`` a constant."""
    context = shifted(CONTEXT, by)
    windows = windows_of(context, TIMING, now=now or STARTED + timedelta(hours=1) + by)
    identity = identity_of(context, CONFIG, windows.lived)
    return {ask: sift(found, question_of(ask, CONFIG), identity, windows.accepted) for ask, found in answers.items()}


def shifted(thing: Any, by: timedelta) -> Any:
    moved = {name: value + by for name, value in msgspec.structs.asdict(thing).items() if isinstance(value, datetime)}
    return msgspec.structs.replace(thing, **moved)


def judged(sifted: dict[Ask, Sifted], *, proven: bool) -> Judgement:
    return judge(Axes(**{ask.value: found.answer for ask, found in sifted.items()}), proven=proven)


def reduced(sifted: dict[Ask, Sifted]) -> dict[Ask, Any]:
    """All that was found, without the times of the records."""
    return {
        ask: (
            [(match.record.id, match.tie) for match in found.matched],
            [(miss.record.id, miss.reason, miss.certain) for miss in (*found.undecided, *found.rejected)],
        )
        for ask, found in sifted.items()
    }


@given(answers, st.integers(-20 * 365, 20 * 365), st.integers(0, 86_399), st.booleans())
def test_shifting_all_times_by_a_constant_changes_no_verdict(answers, days, seconds, proven):
    by = timedelta(days=days, seconds=seconds)
    later = {ask: [shifted(record, by) for record in found] for ask, found in answers.items()}
    here, there = told_apart(answers), told_apart(later, by=by)
    assert reduced(here) == reduced(there)
    assert judged(here, proven=proven) == judged(there, proven=proven)


unrelated = st.one_of(
    st.builds(
        lambda record, host: msgspec.structs.replace(record, title="", hosts=(host,)),
        records,
        some("ws02", "ws01.lab.example", "ws010"),
    ),
    st.builds(
        lambda record, seconds: msgspec.structs.replace(record, event_at=after(-seconds), event_until=None),
        records,
        st.floats(10, 1e6),
    ),
    st.builds(lambda record, rule: msgspec.structs.replace(record, rule=rule), records, some("Mimikatz", "dump LSASS")),
    st.builds(lambda record: msgspec.structs.replace(record, suppressed=True), records),
    st.builds(lambda record: msgspec.structs.replace(record, severity="low"), records),
)
"""Of another host, of the time before, of another rule, seen by nobody, or less severe than was asked for."""


@given(answers, unrelated)
def test_an_unrelated_alert_is_never_counted_and_spoils_no_miss(answers, stranger):
    context = msgspec.structs.replace(CONTEXT, host_aliases=("ws01.corp.example",))
    windows = windows_of(context, TIMING, now=STARTED + timedelta(hours=1))
    identity, question = identity_of(context, CONFIG, windows.lived), question_of(Ask.ALERT, CONFIG)
    before = sift(answers[Ask.ALERT], question, identity, windows.accepted)
    afterwards = sift([*answers[Ask.ALERT], stranger], question, identity, windows.accepted)
    assert afterwards.answer is before.answer
    assert afterwards.matched == before.matched


@given(answers, records, st.booleans())
def test_another_record_takes_back_no_hit(answers, another, proven):
    before = judged(told_apart(answers), proven=proven)
    more = {ask: [*found, another] for ask, found in answers.items()}
    assert not outranks(before.outcome, judged(told_apart(more), proven=proven).outcome) or (
        before.outcome is Outcome.LOGGED
    ), "only an alert that may be the execution's own makes it doubtful that nothing but telemetry was there"


@given(answers, st.data(), st.booleans())
def test_removing_evidence_never_raises_the_outcome(answers, data, proven):
    sifted = told_apart(answers)
    evidence = [match.record.id for found in sifted.values() for match in found.matched]
    removed = data.draw(st.sets(st.sampled_from(evidence))) if evidence else set()
    left = {ask: [record for record in found if record.id not in removed] for ask, found in answers.items()}
    before, afterwards = judged(sifted, proven=proven), judged(told_apart(left), proven=proven)
    assert not outranks(afterwards.outcome, before.outcome)


@given(
    st.lists(records, max_size=6).flatmap(
        lambda found: st.tuples(st.just(found), st.permutations([*found, *found[:2]]), st.just(len(found)))
    )
)
def test_order_of_arrival_and_duplicates_change_nothing(drawn):
    found, again, number = drawn
    first, second = told_apart({Ask.ALERT: found}), told_apart({Ask.ALERT: again})
    assert first == second
    counted = first[Ask.ALERT]
    assert len(counted.matched) + len(counted.undecided) + len(counted.rejected) == number


@given(st.lists(records, max_size=6), st.randoms())
def test_versions_of_one_record_count_as_one_in_any_order(found, random):
    versions = [msgspec.structs.replace(record, id="one") for record in found]
    mixed = random.sample(versions, len(versions))
    assert told_apart({Ask.ALERT: versions}) == told_apart({Ask.ALERT: mixed})


@given(answers, st.booleans())
def test_every_verdict_and_every_rejected_candidate_has_one_reason(answers, proven):
    sifted = told_apart(answers)
    assert isinstance(judged(sifted, proven=proven).reason, Reason)
    for found in sifted.values():
        assert all(isinstance(miss.reason, Reason) and miss.certain for miss in found.rejected)
        assert all(isinstance(miss.reason, Reason) and not miss.certain for miss in found.undecided)


@given(answers)
def test_a_miss_is_proven_only_where_nothing_is_left_undecided(answers):
    for found in told_apart(answers).values():
        assert (found.answer is Answer.NO) == (not found.matched and not found.undecided)


@given(st.lists(records, max_size=6))
def test_a_match_names_the_fields_that_make_it(found):
    for match in told_apart({Ask.ALERT: found})[Ask.ALERT].matched:
        assert match.tie.fields
        assert match.record.rule == an_alert().rule
