"""What core does for a detector that searches: questions, control window, rules, names, evidence, errors."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.core.memory_product import MemoryDetector, an_alert, an_event

from checking_core import (
    Answer,
    Ask,
    BackendAuthFailedError,
    BackendUnreachableError,
    FatalDetectionError,
    MatchTier,
    Prevention,
    Reason,
    Rule,
    SearchAnswer,
    SearchRequest,
)
from checking_core.testing import ENDED, STARTED

ALERT, RULE, TELEMETRY, ALIVE = Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE
BEFORE = STARTED - timedelta(hours=3)


# --- questions ---------------------------------------------------------------------------------------------


async def test_each_question_has_its_own_answer_and_evidence():
    detector = MemoryDetector(an_event())
    finding = await detector.look(ALERT, RULE, TELEMETRY, ALIVE)
    answers = (finding.alert, finding.rule, finding.telemetry, finding.alive)
    assert answers == (Answer.NO, Answer.YES, Answer.YES, Answer.YES)
    assert [record.kind for record in finding.evidence] == ["match", "event"]


async def test_a_raw_record_is_never_an_alert():
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[{"record": an_event()}])
    with pytest.raises(FatalDetectionError, match="only an Alert is one"):
        await detector.look(ALERT)


async def test_what_was_found_carries_its_times_and_the_firmest_tier():
    late = ENDED + timedelta(minutes=50)
    detector = MemoryDetector(an_alert(id="second", created_at=late, pid=None), an_alert(indexed_at=ENDED))
    finding = await detector.look(ALERT, config={"control": False})
    assert (finding.event_at, finding.indexed_at) == (STARTED, ENDED)
    assert finding.alert_at == ENDED + timedelta(seconds=30)
    assert finding.match_tier is MatchTier.PROCESS
    assert [record.tier for record in finding.evidence] == [MatchTier.PROCESS, MatchTier.NAMED_RULE]


async def test_the_query_is_filled_in_and_told():
    detector = MemoryDetector()
    finding = await detector.look(config={"telemetry": {"query": "host in (${host_names}) cmd='${command}'"}})
    (sent,) = {request.query for request in detector.requests}
    assert sent.startswith('host in ("ws01") cmd=\'rundll32.exe')
    assert finding.query_sent == f"telemetry: {sent}"


async def test_a_plugin_that_quotes_nothing_refuses_placeholders():
    class Plain(MemoryDetector):
        quote = MemoryDetector.__mro__[1].quote

    with pytest.raises(FatalDetectionError) as caught:
        await Plain().look(config={"telemetry": {"query": "${pid}"}})
    assert caught.value.reason is Reason.QUERY_INVALID


async def test_a_sigma_rule_is_refused_where_nothing_converts_it_and_never_asked_as_everything():
    detector = MemoryDetector(an_event())
    with pytest.raises(FatalDetectionError) as caught:
        await detector.look(config={"sigma": "rules/lsass.yml"})
    assert (caught.value.reason, detector.requests) == (Reason.NOT_CONVERTIBLE, [])


async def test_a_converted_sigma_rule_is_the_query():
    class Converting(MemoryDetector):
        def convert(self, sigma: str | dict[str, Any]) -> str:
            return f"converted {sigma}"

    detector = Converting(an_event())
    assert (await detector.look(config={"sigma": "rules/lsass.yml"})).rule is Answer.YES
    assert detector.requests[0].query == "converted rules/lsass.yml"


async def test_an_answer_of_another_type_is_the_plugins_fault():
    detector = MemoryDetector()
    detector.before = lambda _: [{"record": an_event()}]
    with pytest.raises(FatalDetectionError, match="search returned list"):
        await detector.look(TELEMETRY)


# --- prevention -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "prevention"),
    [
        ([], Prevention.NOT_BLOCKED),
        ([Prevention.UNKNOWN], Prevention.UNKNOWN),
        ([Prevention.NOT_BLOCKED, Prevention.BLOCKED], Prevention.BLOCKED),
        ([Prevention.NOT_BLOCKED, Prevention.TERMINATED], Prevention.TERMINATED),
    ],
)
async def test_what_was_blocked_is_read_off_the_alerts(told, prevention):
    detector = MemoryDetector(*(an_alert(id=f"{n}", prevention=state) for n, state in enumerate(told)))
    assert (await detector.look(ALERT, config={"prevention": True})).prevention is prevention


async def test_what_was_blocked_elsewhere_on_the_host_is_not_this_execution():
    other = an_alert(pid=99, prevention=Prevention.BLOCKED, techniques=("T1566",))
    finding = await MemoryDetector(other).look(TELEMETRY, config={"prevention": True})
    assert finding.prevention is not Prevention.BLOCKED
    assert finding.alert is Answer.NOT_ASKED


async def test_a_block_that_may_be_the_usual_noise_is_unknown():
    usual = {"pid": None, "prevention": Prevention.BLOCKED}
    detector = MemoryDetector(an_alert(**usual), an_alert(id="0", event_at=BEFORE, **usual))
    finding = await detector.look(
        ALERT, config={"prevention": True}, operation_started_at=BEFORE + timedelta(minutes=1)
    )
    assert finding.prevention is Prevention.UNKNOWN


async def test_an_answer_in_part_proves_no_free_passage():
    passed = an_alert(prevention=Prevention.NOT_BLOCKED)
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[{"record": passed}], complete=False)
    assert (await detector.look(ALERT, config={"prevention": True})).prevention is Prevention.UNKNOWN
    stopped = msgspec.structs.replace(passed, prevention=Prevention.BLOCKED)
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[{"record": stopped}], complete=False)
    assert (await detector.look(ALERT, config={"prevention": True})).prevention is Prevention.BLOCKED


# --- control window -------------------------------------------------------------------------------------------


async def test_a_weak_match_that_was_there_before_the_operation_decides_nothing():
    detector = MemoryDetector(an_alert(pid=None), an_alert(id="0", pid=None, event_at=BEFORE))
    finding = await detector.look(ALERT, operation_started_at=BEFORE + timedelta(minutes=1))
    assert (finding.alert, finding.in_control_window, finding.lift) == (Answer.UNKNOWN, True, 1.0)
    assert finding.reason is Reason.IN_CONTROL_WINDOW


async def test_what_decides_nothing_tells_no_time_and_no_tier():
    usual, few = (
        MemoryDetector(an_alert(pid=None), an_alert(id="0", pid=None, event_at=BEFORE)),
        MemoryDetector(an_alert()),
    )
    noise = await usual.look(ALERT, operation_started_at=BEFORE + timedelta(minutes=1))
    lacking = await few.look(config={"alert": {"rule": "LSASS dump", "min_count": 2}})
    assert (noise.alert, lacking.alert) == (Answer.UNKNOWN, Answer.NO)
    for finding in (noise, lacking):
        assert (finding.event_at, finding.indexed_at, finding.alert_at, finding.match_tier) == (None,) * 4
        assert len(finding.evidence) == 1


async def test_a_firm_match_asks_for_no_control():
    detector = MemoryDetector(an_alert(), an_alert(id="0", event_at=BEFORE))
    finding = await detector.look(ALERT, operation_started_at=BEFORE + timedelta(minutes=1))
    assert (finding.alert, finding.in_control_window, len(detector.requests)) == (Answer.YES, False, 1)


async def test_the_author_decides_about_the_control_window():
    asked, spared = MemoryDetector(an_alert()), MemoryDetector(an_alert(pid=None))
    await asked.look(ALERT, config={"control": True}, operation_started_at=BEFORE)
    await spared.look(ALERT, config={"control": False}, operation_started_at=BEFORE)
    assert (len(asked.requests), len(spared.requests)) == (2, 1)


async def test_a_control_window_that_was_answered_in_part_is_told():
    detector = MemoryDetector(an_alert(pid=None))
    begun = BEFORE + timedelta(minutes=1)

    def partly(request: SearchRequest) -> SearchAnswer | None:
        return SearchAnswer(records=[], complete=False) if request.window.start < begun else None

    detector.before = partly
    finding = await detector.look(ALERT, operation_started_at=begun)
    assert (finding.alert, finding.complete, finding.reason) == (
        *(Answer.UNKNOWN, False),
        Reason.BACKEND_PARTIAL_ANSWER,
    )
    assert finding.warnings == ("alert: the control window was answered in part",)


# --- rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (None, None),
        ([], Reason.RULE_MISSING),
        ([Rule(id="1", name="Phishing")], Reason.RULE_MISSING),
        ([Rule(id="1", name="lsass DUMP", enabled=False)], Reason.RULE_DISABLED),
        ([Rule(id="1", name="LSASS dump", enabled=False), Rule(id="2", name="LSASS dump")], None),
    ],
)
async def test_a_rule_that_could_not_fire_is_the_reason_of_its_silence(known, reason):
    detector = MemoryDetector()
    detector.known_rules = known
    finding = await detector.look(ALERT)
    assert (finding.alert, finding.reason) == (Answer.NO, reason)


async def test_rules_are_asked_for_a_silent_rule_only_and_remembered_for_a_while():
    detector = MemoryDetector(an_alert())
    await detector.look(ALERT)
    assert detector.asked_rules == 0
    detector.records.clear()
    for seconds, asked in ((20, 1), (20, 1), (60, 2)):
        detector.time.forward(seconds)
        await detector.look(ALERT)
        assert detector.asked_rules == asked


async def test_rules_that_cannot_be_read_spoil_no_verdict():
    class Forbidden(MemoryDetector):
        async def rules(self) -> None:
            raise BackendAuthFailedError("403 on the rules")

    finding = await Forbidden().look(ALERT)
    assert (finding.alert, finding.complete) == (Answer.NO, True)
    assert finding.warnings == ("the rules are not known: BackendAuthFailedError: 403 on the rules",)


# --- names ----------------------------------------------------------------------------------------------------


async def test_a_name_that_only_the_backend_knows_is_the_same_host_and_is_asked_once():
    detector = MemoryDetector(an_alert(hosts=("aid-77",)))
    detector.aliases = ("aid-77",)
    for _ in range(3):
        detector.time.forward(60)
        assert (await detector.look(ALERT)).alert is Answer.YES
    assert detector.asked_names == 1
    detector.time.forward(600)
    await detector.look(ALERT)
    assert detector.asked_names == 2


async def test_names_that_cannot_be_told_prove_no_miss_and_take_no_hit():
    class Away(MemoryDetector):
        async def host_names(self, host: str) -> list[str]:
            raise BackendUnreachableError("refused")

    missed, hit = await Away().look(ALERT), await Away(an_alert()).look(ALERT)
    assert (missed.complete, missed.reason) == (False, Reason.BACKEND_UNREACHABLE)
    assert (hit.alert, hit.complete) == (Answer.YES, True)
    assert hit.warnings == ("the host's other names are not known: BackendUnreachableError: refused",)


# --- completeness and evidence --------------------------------------------------------------------------------


async def test_a_record_that_cannot_be_read_makes_the_answer_incomplete():
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[{}, {"record": an_alert(hosts=("dc01",))}])
    finding = await detector.look(ALERT)
    assert (finding.complete, finding.reason) == (False, Reason.PLUGIN_ERROR)
    assert finding.warnings == ("1 unreadable: KeyError: 'record'",)


async def test_what_was_left_out_spoils_no_yes():
    detector = MemoryDetector()
    detector.before = lambda request: SearchAnswer(records=[{"record": an_event()}], complete=request.ask is TELEMETRY)
    finding = await detector.look(TELEMETRY, ALIVE)
    assert (finding.complete, finding.telemetry, finding.alive) == (True, Answer.YES, Answer.YES)


async def test_evidence_is_named_by_the_digest_of_the_whole_record_and_shown_in_part():
    raw = {"record": an_event(fields={"long": "x" * 9000, "deep": {"list": ["y" * 9000]}, "short": 1}), "more": "z"}
    detector = MemoryDetector()
    detector.before = lambda _: SearchAnswer(records=[raw])
    (evidence,) = (await detector.look(TELEMETRY)).evidence
    whole = msgspec.json.encode(raw, order="deterministic", enc_hook=str)
    assert evidence.sha256 == hashlib.sha256(whole).hexdigest()
    assert {name: len(str(value)) for name, value in evidence.fields.items()} == {
        "long": 2000,
        "deep": 2000,
        "short": 1,
    }


async def test_the_raw_answer_holds_what_decided_before_what_was_merely_near():
    others = [an_event(id=f"other-{number}", hosts=("dc01",)) for number in range(500)]
    finding = await MemoryDetector(*others, an_event()).look(TELEMETRY)
    shown = [record["record"].id for record in finding.raw_response["telemetry"]]
    assert (shown[0], len(shown)) == ("event-1", 21)


async def test_a_host_whose_clock_is_hours_off_proves_a_hit_and_never_a_miss():
    told = {"agent_reported_time": STARTED - timedelta(hours=2)}
    seen = await MemoryDetector(an_alert()).look(ALERT, **told)
    unseen = await MemoryDetector(an_alert(event_at=STARTED - timedelta(hours=2))).look(ALERT, **told)
    assert (seen.alert, seen.complete) == (Answer.YES, True)
    assert (unseen.alert, unseen.complete, unseen.reason) == (Answer.NO, False, Reason.CLOCK_ASTRAY)
    assert unseen.warnings == ("the host's clock is 7202 s off, more than is allowed for: correct it",)


async def test_neighbours_that_only_a_shared_search_brought_are_no_near_misses():
    neighbour = an_event(id="neighbour", event_at=STARTED - timedelta(minutes=10))
    finding = await MemoryDetector(neighbour).look(TELEMETRY)
    assert finding.near_misses == ()
