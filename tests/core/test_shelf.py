"""One search serves many looks, and none of them is told less than a search of its own would have told."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.memory_product import DEADLINE, Clock, MemoryDetector, an_alert, an_event

from checking_core import Answer, Ask, BackendUnreachableError, SearchAnswer, SearchRequest
from checking_core.matching.window import Window
from checking_core.plugin.shelf import covers, widened
from checking_core.testing import ENDED, STARTED

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
seconds = st.integers(-10_000, 10_000).map(lambda number: timedelta(seconds=number))
windows = st.builds(lambda start, length: Window(NOW + start, NOW + start + abs(length)), seconds, seconds)

ALERT, TELEMETRY, ALIVE = Ask.ALERT, Ask.TELEMETRY, Ask.ALIVE
LATER = {"started_at": STARTED + timedelta(minutes=5), "finished_at": ENDED + timedelta(minutes=5)}


# --- windows --------------------------------------------------------------------------------------------------


@given(windows, seconds)
def test_a_search_is_never_narrower_than_what_a_look_needs(window, passed):
    now = NOW + passed
    wide = widened(window, now)
    assert wide.start <= window.start
    assert wide.end >= window.end
    assert covers(wide, now, window)


@given(windows, windows, seconds)
def test_a_search_covers_a_look_only_if_it_reached_all_that_had_happened(searched, wanted, passed):
    began = NOW + passed
    if covers(searched, began, wanted):
        assert searched.start <= wanted.start
        assert all(moment <= searched.end for moment in (wanted.start, wanted.end) if moment <= began)


@given(windows, seconds)
def test_what_just_happened_is_searched_beyond_the_present(window, passed):
    now = NOW + passed
    if now - timedelta(hours=1) <= window.end:
        assert widened(window, now).end >= now + timedelta(minutes=15)


@pytest.mark.parametrize("minutes", range(16))
def test_executions_a_quarter_of_an_hour_apart_find_theirs_in_one_answer_in_whatever_order(minutes):
    def of(moment: datetime) -> Window:
        return Window(moment, moment + timedelta(minutes=5))

    for shift in range(15):
        first = NOW + timedelta(minutes=shift)
        second = first + timedelta(minutes=minutes)
        now = second + timedelta(minutes=2)
        assert covers(widened(of(second), now), now, of(first))
        assert covers(widened(of(first), now), now, of(second))


# --- sharing --------------------------------------------------------------------------------------------------


async def test_looks_that_come_together_ask_once():
    detector = MemoryDetector(an_event())
    findings = await asyncio.gather(*(detector.look(TELEMETRY) for _ in range(50)))
    assert {finding.telemetry for finding in findings} == {Answer.YES}
    assert len(detector.requests) == 1


async def test_another_execution_on_that_host_finds_its_own_in_the_same_answer():
    detector = MemoryDetector(an_event(), an_event(id="later", pid=7, event_at=LATER["started_at"]))
    first, second = await detector.look(TELEMETRY), await detector.look(TELEMETRY, pid=7, **LATER)
    assert (first.evidence[0].id, second.evidence[0].id) == ("event-1", "later")
    assert len(detector.requests) == 1


async def test_alerts_of_all_hosts_and_rules_come_in_one_answer():
    detector = MemoryDetector(an_alert(), an_alert(id="alert-2", hosts=("dc01",), rule="Phishing"))
    first = await detector.look(ALERT)
    second = await detector.look(config={"alert": {"rule": "Phishing"}}, agent_host="dc01")
    assert [finding.evidence[0].id for finding in (first, second)] == ["alert-1", "alert-2"]
    assert len(detector.requests) == 1
    assert (detector.requests[0].hosts, detector.requests[0].alert) == ((), None)


@pytest.mark.parametrize(
    "other",
    [
        {"telemetry": {"query": "other"}},
        {"telemetry": {"query": "*", "index": "other"}},
        {"telemetry": {"query": "*", "language": "other"}},
        {"telemetry": {"query": "*"}, "max_results": 5000},
        {"telemetry": {"query": "*"}, "target": {"account": "1234"}},
    ],
)
async def test_another_question_is_another_search(other):
    detector = MemoryDetector()
    await detector.look(TELEMETRY)
    await detector.look(config=other)
    assert len(detector.requests) == 2


async def test_an_answer_gets_old():
    detector = MemoryDetector()
    for passed, asked in ((0, 1), (15, 1), (1, 2)):
        detector.time.forward(passed)
        await detector.look(TELEMETRY)
        assert len(detector.requests) == asked


async def test_the_longer_ago_an_execution_is_the_older_an_answer_will_do():
    clock = Clock()
    clock.now = ENDED + timedelta(seconds=400)
    detector = MemoryDetector(clock=clock)
    for passed, asked in ((0, 1), (200, 1), (120, 2)):
        clock.forward(passed)
        await detector.look(TELEMETRY, deadline_passed=False)
        assert len(detector.requests) == asked


commands = st.sampled_from(["whoami", "ipconfig /all", "net user"])
offsets = st.integers(-2_400, 2_400)
events = st.lists(st.tuples(offsets, commands, st.sampled_from(["ws01", "dc01"])), max_size=12)
executions = st.lists(st.tuples(offsets, commands), min_size=1, max_size=6)


@given(events, executions, st.integers(0, 60))
async def test_what_looks_share_is_what_each_would_have_found_alone(events, executions, between):
    records = [
        an_event(
            id=f"{number}", event_at=STARTED + timedelta(seconds=offset), commands=(command,), hosts=(host,), pid=None
        )
        for number, (offset, command, host) in enumerate(events)
    ]
    shared = MemoryDetector(*records)
    for offset, command in executions:
        shared.time.forward(between)
        alone = MemoryDetector(*records)
        alone.time.now = shared.time.now
        moment = STARTED + timedelta(seconds=offset)
        look = {"started_at": moment, "finished_at": moment, "command": command, "pid": None}
        assert await shared.look(TELEMETRY, **look) == await alone.look(TELEMETRY, **look)


# --- a proven no ----------------------------------------------------------------------------------------------


async def test_a_no_is_proven_only_by_a_search_of_after_the_deadline():
    clock = Clock()
    clock.now = DEADLINE - timedelta(seconds=5)
    detector = MemoryDetector(clock=clock)
    await detector.look(TELEMETRY, deadline_passed=False)
    clock.forward(6)
    await detector.look(TELEMETRY)
    assert len(detector.requests) == 2


async def test_a_workers_clock_that_is_ahead_proves_nothing_early():
    """The store's time decides, as far as the store has told it."""
    clock = Clock()
    clock.now = DEADLINE + timedelta(minutes=10)
    detector = MemoryDetector(clock=clock)
    await detector.look(TELEMETRY, deadline_passed=False, created_at=DEADLINE - timedelta(seconds=2))
    clock.forward(3)
    await detector.look(TELEMETRY, created_at=DEADLINE + timedelta(seconds=1))
    assert len(detector.requests) == 2


async def test_a_workers_clock_that_is_behind_costs_no_search():
    clock = Clock()
    clock.now = DEADLINE - timedelta(minutes=10)
    detector = MemoryDetector(clock=clock)
    for _ in range(3):
        await detector.look(TELEMETRY, created_at=DEADLINE + timedelta(seconds=1))
    assert len(detector.requests) == 1


async def test_looks_of_later_deadlines_share_once_the_store_has_told_a_later_time():
    detector = MemoryDetector()
    told = DEADLINE + timedelta(minutes=1)
    await detector.look(TELEMETRY, created_at=told)
    await detector.look(TELEMETRY, created_at=told, deadline=DEADLINE + timedelta(seconds=30))
    assert len(detector.requests) == 1


# --- too much, and not enough ---------------------------------------------------------------------------------


async def test_more_than_an_answer_holds_is_asked_more_narrowly():
    noise = [an_event(id=f"noise-{n}", event_at=STARTED - timedelta(minutes=5)) for n in range(1001)]
    detector = MemoryDetector(*noise, an_event())
    finding = await detector.look(TELEMETRY)
    assert (finding.telemetry, finding.complete, len(detector.requests)) == (Answer.YES, True, 2)
    wide, narrow = detector.requests
    assert wide.window.start < narrow.window.start
    assert (wide.hosts, narrow.hosts) == ((), ("ws01",))


async def test_an_alert_store_is_asked_by_host_and_then_by_rule_only_where_it_has_too_much():
    elsewhere = [an_alert(id=f"noise-{n}", hosts=("dc01",)) for n in range(1001)]
    detector = MemoryDetector(*elsewhere, an_alert())
    assert (await detector.look(ALERT)).alert is Answer.YES
    assert [(request.hosts, request.alert is None) for request in detector.requests] == [((), True), (("ws01",), True)]
    detector.records += [an_alert(id=f"more-{n}", rule="Phishing") for n in range(1001)]
    detector.time.forward(60)
    assert (await detector.look(ALERT)).complete
    assert detector.requests[-1].alert.rule == "LSASS dump"


async def test_that_there_was_too_much_is_remembered_as_well():
    long_before = STARTED - timedelta(minutes=5)
    detector = MemoryDetector(*(an_event(id=f"noise-{n}", event_at=long_before) for n in range(1001)))
    await detector.look(TELEMETRY)
    await detector.look(TELEMETRY)
    assert len(detector.requests) == 2


async def test_a_source_that_is_alive_is_asked_no_more_narrowly():
    detector = MemoryDetector(*(an_event(id=f"beat-{n}") for n in range(1001)))
    assert (await detector.look(ALIVE)).alive is Answer.YES
    assert len(detector.requests) == 1


async def test_a_partial_answer_serves_nobody_else():
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[], complete=False)
    assert not (await detector.look(TELEMETRY)).complete
    detector.before = None
    assert (await detector.look(TELEMETRY)).complete


async def test_an_error_serves_nobody_else():
    def away(_: SearchRequest) -> None:
        raise BackendUnreachableError("refused")

    detector = MemoryDetector(an_event())
    detector.before = away
    with pytest.raises(BackendUnreachableError):
        await detector.look(TELEMETRY)
    detector.before = None
    assert (await detector.look(TELEMETRY)).telemetry is Answer.YES


# --- giving up ------------------------------------------------------------------------------------------------


async def test_a_search_goes_on_while_somebody_waits_for_it():
    detector = MemoryDetector(an_event())
    detector.hold = asyncio.Event()
    first, second = (asyncio.create_task(detector.look(TELEMETRY)) for _ in range(2))
    await detector.asked.wait()
    first.cancel()
    await asyncio.wait({first})
    detector.hold.set()
    assert (await second).telemetry is Answer.YES
    assert len(detector.requests) == 1


async def test_the_last_who_gives_up_ends_it_and_who_comes_then_asks_anew():
    ended = asyncio.Event()

    class Told(MemoryDetector):
        async def search(self, request: SearchRequest) -> SearchAnswer:
            try:
                return await super().search(request)
            finally:
                ended.set()

    detector = Told(an_event())
    detector.hold = asyncio.Event()
    look = asyncio.create_task(detector.look(TELEMETRY))
    await detector.asked.wait()
    look.cancel()
    await asyncio.wait({look})
    detector.hold.set()
    assert (await detector.look(TELEMETRY)).telemetry is Answer.YES
    assert (ended.is_set(), len(detector.requests)) == (True, 2)
