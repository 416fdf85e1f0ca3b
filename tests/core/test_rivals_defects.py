"""What tools of this kind have got wrong, in public: each of their defects and of their users' complaints is a test.

Numbers 11 (certificates) and 6 to 9 of the complaints (exports, imports, backends) are not about the verdict.
``Siem`` holds its records in memory and searches them by the time they were raised or recorded, like a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from checking_core.contracts import (
    Answer,
    Ask,
    Axes,
    CheckStatus,
    DetectionResult,
    Expect,
    MatchTier,
    Met,
    Outcome,
    Prevention,
    Reason,
)
from checking_core.errors import BackendAuthFailedError, BackendRateLimitedError, BackendUnreachableError
from checking_core.matching.attribution import Claim, ambiguous_checks
from checking_core.matching.judge import judge, met_of
from checking_core.matching.record import Alert, AnyRecord, Event
from checking_core.matching.upgrade import outlasts
from checking_core.plugin import SearchAnswer, SearchDetector, SearchRequest
from checking_core.plugin.base import NoSettings
from checking_core.settings import WorkerSettings
from checking_core.testing.builders import ENDED, a_task
from checking_core.worker.run_task import run_task

from .records import PID, after, an_alert, an_event, an_identity, sifted, tie_of

NO_JITTER = WorkerSettings(jitter_min=0, jitter_max=0)
DEADLINE = ENDED + timedelta(seconds=1200)
RULE = {"alert": {"rule": "LSASS dump"}}
EVERYTHING = {
    "alert": {"rule": "LSASS dump"},
    "telemetry": {"query": "EventCode=1 host=${agent_host}"},
    "alive": {"query": "host=${agent_host}"},
    "prevention": True,
}


class Siem(SearchDetector):
    """A backend that answers with what it holds, or with an error."""

    platform = "siem"
    answers = frozenset(Ask)

    def __init__(self, *records: AnyRecord, error: Exception | None = None, now: datetime = DEADLINE) -> None:
        super().__init__("mock", NoSettings(), sleep=self._nap, clock=lambda: now)
        self.records = records
        self.error = error
        self.requests: list[SearchRequest] = []
        self.slept: list[float] = []

    async def search(self, request: SearchRequest) -> SearchAnswer:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        kind = Alert if request.ask is Ask.ALERT else Event
        found = [
            record for record in self.records if isinstance(record, kind) and request.window.holds(_raised(record))
        ]
        return SearchAnswer(records=[{"record": record} for record in found])

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        return record["record"]

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        return repr(list(values))

    async def _nap(self, seconds: float) -> None:
        self.slept.append(seconds)


class TelemetryStore(Siem):
    """Searches raw events only; nothing in it can tell whether anything was blocked."""

    answers = frozenset({Ask.RULE, Ask.TELEMETRY, Ask.ALIVE})


def _raised(record: AnyRecord) -> datetime:
    moment = record.created_at if isinstance(record, Alert) else None
    return moment or record.event_at or DEADLINE


async def look_at(
    *records: AnyRecord, siem: Siem | None = None, config: dict[str, Any] | None = None, **task: Any
) -> DetectionResult:
    """One look, after the deadline unless the test says otherwise."""
    return await run_task(siem or Siem(*records), a_task(detection_config=config or RULE, **task), NO_JITTER)


def early(seconds: float) -> dict[str, Any]:
    """A look that began so many seconds after the start."""
    return {"deadline_passed": False, "created_at": after(seconds)}


# Defects of the verdict, one by one


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (BackendUnreachableError("connection refused"), Reason.BACKEND_UNREACHABLE, False),
        (BackendRateLimitedError("429"), Reason.BACKEND_RATE_LIMITED, False),
        (BackendAuthFailedError("401"), Reason.BACKEND_AUTH_FAILED, True),
    ],
)
async def test_defect_1_an_outage_is_no_miss_and_says_what_it_is(error, reason, final):
    result = await look_at(siem=Siem(error=error), config=EVERYTHING, max_retries=0)
    assert (result.outcome, result.status, result.reason) == (Outcome.INCONCLUSIVE, CheckStatus.FAILED, reason)
    assert (result.detected, result.final) == (None, final)
    assert str(error) in result.result_metadata["error"]


@pytest.mark.parametrize(
    "alert",
    [an_alert(rule=None), an_alert(rule="", title=""), an_alert(title="explorer.exe", commands=()), an_alert(pid=None)],
)
def test_defect_2_nothing_to_compare_matches_nothing(alert):
    nothing_known = an_identity(pid=None, command="", technique_id=None)
    assert tie_of(alert, identity=nothing_known) is None
    assert sifted(alert, identity=nothing_known).answer is Answer.UNKNOWN


def test_defect_3_an_address_that_begins_alike_is_another_one():
    ours = an_identity(agent_host="192.0.2.1")
    assert tie_of(an_alert(hosts=(), addresses=("192.0.2.1",), pid=PID), identity=ours) is not None
    assert tie_of(an_alert(hosts=(), addresses=("192.0.2.12",), pid=PID), identity=ours) is None
    assert tie_of(an_alert(hosts=("192.0.2.12",), pid=PID), identity=ours) is None


@pytest.mark.parametrize("seen", ["a", "", " ", "whoami", "all", "/all"])
def test_defect_4_part_of_a_command_line_is_not_the_command_line(seen):
    identity = an_identity(command="whoami /all")
    assert tie_of(an_alert(commands=("whoami /all",)), identity=identity) == ("artefact", ("host", "commands"))
    assert tie_of(an_alert(commands=(seen,)), identity=identity) is None


def test_defect_5_long_texts_that_differ_in_one_character_differ():
    identity = an_identity(command="a" * 400)
    assert tie_of(an_alert(commands=("a" * 399 + "b",)), identity=identity) is None


@pytest.mark.parametrize("config", [RULE, {"alert": {"techniques": ["T1003.001"]}}])
async def test_defect_6_an_execution_known_by_its_address_only_can_be_matched(config):
    seen = an_alert(hosts=(), addresses=("::ffff:192.0.2.10",), techniques=("T1003.001",))
    result = await look_at(seen, config=config, agent_host="192.0.2.10", command="", pid=None)
    assert result.outcome is Outcome.ALERTED
    assert result.parsed_results.evidence[0].matched[0] == "addresses"


async def test_defect_7_an_alert_without_addresses_is_found_though_the_execution_has_some():
    addresses = tuple(f"192.0.2.{number}" for number in range(1, 9))
    result = await look_at(an_alert(addresses=(), pid=PID), addresses=addresses)
    assert (result.outcome, result.match_tier) == (Outcome.ALERTED, MatchTier.PROCESS)


async def test_defect_8_a_later_look_searches_up_to_the_present_and_not_the_same_again():
    first, last = Siem(now=after(60)), Siem(now=after(3600))
    await look_at(siem=first, **early(60))
    await look_at(siem=last)
    assert first.requests[0].window.end < last.requests[0].window.end
    assert last.requests[0].window.end >= after(3600)


async def test_defect_9_silent_checks_wait_for_nothing_and_ask_together():
    siem = Siem(now=after(60))
    tasks = [a_task(number, detection_config=RULE, **early(60)) for number in range(1, 21)]
    results = await asyncio.gather(*(run_task(siem, task, NO_JITTER) for task in tasks))
    assert {(result.outcome, result.reason, result.final) for result in results} == {
        (Outcome.INCONCLUSIVE, Reason.DEADLINE_NOT_REACHED, False)
    }
    assert siem.slept == []
    assert len(siem.requests) == 1


async def test_defect_10_a_backend_that_cannot_tell_of_prevention_is_not_applicable():
    siem = TelemetryStore()
    result = await look_at(siem=siem, config={"telemetry": {"query": "x"}, "prevention": True})
    assert (result.outcome, result.reason) == (Outcome.NOT_APPLICABLE, Reason.CAPABILITY_MISSING)
    assert (result.prevention, siem.requests) == (Prevention.NOT_ASKED, [])


async def test_defect_12_evidence_bears_the_times_of_the_product_and_not_of_whoever_looked():
    result = await look_at(an_alert(event_at=after(0.5), indexed_at=after(7), created_at=after(51)))
    assert (result.event_at, result.indexed_at, result.alert_at) == (after(0.5), after(7), after(51))
    evidence = result.parsed_results.evidence[0]
    assert (evidence.event_at, evidence.indexed_at, evidence.alert_at) == (after(0.5), after(7), after(51))


# Complaint 1: "The alert is in my SIEM, but the tool says Not Detected"


@pytest.mark.parametrize(
    "alert",
    [
        an_alert(hosts=("WS01.corp.example",)),
        an_alert(hosts=("ws01",), addresses=("198.51.100.7",)),
        an_alert(hosts=("sensor-5f3c", "ws01")),
        an_alert(hosts=(), addresses=("192.0.2.10",)),
        an_alert(hosts=(r"CORP\WS01$",)),
        an_alert(users=("SYSTEM",), commands=(), pid=None),
        an_alert(event_at=after(0.5), created_at=after(1100)),
        an_alert(event_at=None, created_at=after(600)),
        an_alert(commands=(), prevention=Prevention.BLOCKED),
        an_alert(rule="lsass DUMP"),
    ],
)
async def test_complaint_1_an_alert_that_is_there_is_found(alert):
    result = await look_at(alert, addresses=("192.0.2.10", "192.0.2.11"))
    assert (result.outcome, result.detected) == (Outcome.ALERTED, True)


async def test_complaint_1_an_alert_that_tells_too_little_is_no_miss_and_is_shown():
    result = await look_at(an_alert(hosts=("unknown",)))
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.ALERT_FIELDS_INCOMPLETE)
    assert [miss.id for miss in result.parsed_results.near_misses] == ["alert-1"]


async def test_complaint_1_a_rejected_alert_is_shown_with_its_reason():
    rejected = [
        an_alert(id="host", hosts=("ws02",)),
        an_alert(id="window", event_at=after(-20)),
        an_alert(id="rule", rule="Mimikatz"),
    ]
    result = await look_at(*rejected)
    assert result.outcome is Outcome.NO_ALERT
    assert {miss.id: miss.reason for miss in result.parsed_results.near_misses} == {
        "host": Reason.ALERT_OTHER_HOST,
        "window": Reason.ALERT_OUTSIDE_WINDOW,
        "rule": Reason.ALERT_OTHER_RULE,
    }


# Complaint 2: "Detected, though nothing ran, or another step"


async def test_complaint_2_thirty_alerts_of_other_things_are_none_of_this_execution():
    noise = [an_alert(id=f"noise {number}", rule=f"Rule {number}", hosts=("ws01",)) for number in range(30)]
    result = await look_at(*noise)
    assert (result.outcome, result.detected) == (Outcome.NO_ALERT, False)


async def test_complaint_2_an_alert_from_before_the_attack_is_not_its():
    result = await look_at(an_alert(event_at=after(-10), created_at=after(5)))
    assert (result.outcome, result.reason) == (Outcome.NO_ALERT, Reason.ALERT_OUTSIDE_WINDOW)


@pytest.mark.parametrize("null", [None, "", "-", "null", "unknown"])
def test_complaint_2_a_null_value_matches_nothing(null):
    texts = () if null is None else (null,)
    alert = an_alert(hosts=texts, users=texts, commands=texts, hashes=texts, techniques=texts, rule=null)
    ours = an_identity(
        {"match": {"hashes": list(texts)}}, agent_host=null or "", user=null, command=null or "", technique_id=null
    )
    assert tie_of(alert, identity=ours) is None


async def test_complaint_2_what_would_have_fired_without_the_attack_proves_nothing():
    noise = an_alert(id="noise", event_at=after(-400), created_at=after(-400))
    result = await look_at(an_alert(), noise)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.IN_CONTROL_WINDOW)
    assert result.in_control_window


async def test_complaint_2_a_step_that_failed_and_left_nothing_was_not_missed():
    result = await look_at()
    measured = met_of(Expect.ALERTED, result.outcome, result.axes, execution_failed=True)
    assert measured == (Met.UNKNOWN, Reason.EXECUTION_FAILED)


async def test_complaint_2_two_steps_in_one_minute_on_one_host_are_told_apart():
    alert = an_alert(pid=PID)
    own, other = await look_at(alert), await look_at(alert, pid=5555, command="whoami")
    assert (own.match_tier, other.match_tier) == (MatchTier.PROCESS, MatchTier.NAMED_RULE)
    claims = [
        Claim(
            backend="siem",
            record_id=claim.record_id,
            check_id=UUID(int=number),
            execution_id=UUID(int=number),
            procedure=f"recipe {number}",
            tier=claim.tier,
        )
        for number, result in enumerate((own, other))
        for claim in result.claims
    ]
    assert ambiguous_checks(claims) == {UUID(int=1)}


# Complaint 3: late alerts


async def test_complaint_3_a_first_look_that_sees_nothing_fails_nothing():
    result = await look_at(siem=Siem(now=after(60)), **early(60))
    assert (result.outcome, result.reason, result.final) == (
        Outcome.INCONCLUSIVE,
        Reason.DEADLINE_NOT_REACHED,
        False,
    )
    assert result.detected is None


@pytest.mark.parametrize("hours", [0.5, 1, 5, 23])
async def test_complaint_3_a_rule_that_runs_late_is_found_by_a_look_after_it(hours):
    raised = after(hours * 3600)
    result = await look_at(an_alert(created_at=raised), siem=Siem(an_alert(created_at=raised), now=raised))
    assert (result.outcome, result.alert_at) == (Outcome.ALERTED, raised)


@pytest.mark.parametrize("later", [Outcome.NONE, Outcome.NO_ALERT, Outcome.INCONCLUSIVE])
def test_complaint_3_no_later_silence_takes_back_a_hit(later):
    assert outlasts(Outcome.ALERTED, MatchTier.NAMED_RULE, later, None)
    assert not outlasts(later, None, Outcome.ALERTED, MatchTier.NAMED_RULE)


# Complaint 4: time to detect


async def test_complaint_4_the_first_alert_that_belongs_tells_the_time_to_detect():
    result = await look_at(
        an_alert(id="before", event_at=after(-20), created_at=after(1)),
        an_alert(id="elsewhere", hosts=("ws02",), created_at=after(2)),
        an_alert(id="second", event_at=after(0.7), created_at=after(90)),
        an_alert(id="first", event_at=after(0.8), indexed_at=after(4), created_at=after(51)),
    )
    assert (result.event_at, result.indexed_at, result.alert_at) == (after(0.7), after(4), after(51))


async def test_complaint_4_telemetry_alone_has_no_time_to_detect():
    result = await look_at(an_event(pid=PID, indexed_at=after(3)), config=EVERYTHING)
    assert (result.outcome, result.event_at, result.indexed_at) == (Outcome.LOGGED, after(0.5), after(3))
    assert result.alert_at is None


# Complaint 5: blocked, alerted and logged are facts of their own


@pytest.mark.parametrize(
    ("records", "outcome", "facts"),
    [
        (
            [an_alert(pid=PID, prevention=Prevention.BLOCKED), an_event(pid=PID)],
            Outcome.BLOCKED,
            (Prevention.BLOCKED, Answer.YES, Answer.YES),
        ),
        (
            [an_alert(pid=PID, prevention=Prevention.NOT_BLOCKED), an_event(pid=PID)],
            Outcome.ALERTED,
            (Prevention.NOT_BLOCKED, Answer.YES, Answer.YES),
        ),
        ([an_event(pid=PID)], Outcome.LOGGED, (Prevention.NOT_BLOCKED, Answer.NO, Answer.YES)),
        ([], Outcome.INCONCLUSIVE, (Prevention.UNKNOWN, Answer.UNKNOWN, Answer.UNKNOWN)),
    ],
)
async def test_complaint_5_no_fact_hides_another(records, outcome, facts):
    result = await look_at(*records, config=EVERYTHING)
    assert result.outcome is outcome
    assert (result.prevention, result.alert, result.telemetry) == facts


async def test_complaint_5_somebody_elses_block_is_not_this_executions():
    blocked = an_alert(rule="Adware", prevention=Prevention.BLOCKED, commands=("setup.exe",))
    result = await look_at(blocked, config={"prevention": True, "expect": "blocked"})
    assert result.outcome is not Outcome.BLOCKED


# Complaint 10: rules that must not fire


@pytest.mark.parametrize(
    ("records", "met"), [([], Met.YES), ([an_alert()], Met.NO), ([an_alert(rule="Mimikatz")], Met.YES)]
)
async def test_complaint_10_a_rule_that_has_to_stay_silent_is_tested_like_any_other(records, met):
    result = await look_at(*records, config={**RULE, "expect": "silent"})
    assert met_of(Expect.SILENT, result.outcome, result.axes)[0] is met


async def test_complaint_10_silence_during_an_outage_is_not_the_silence_that_was_wanted():
    siem = Siem(error=BackendUnreachableError("connection refused"))
    result = await look_at(siem=siem, config={**RULE, "expect": "silent"}, max_retries=0)
    assert met_of(Expect.SILENT, result.outcome, result.axes)[0] is Met.UNKNOWN


def test_complaint_10_a_source_that_is_silent_itself_proves_no_silence():
    verdict = judge(Axes(alert=Answer.NO, alive=Answer.NO), proven=True)
    assert met_of(Expect.SILENT, verdict.outcome, verdict.axes)[0] is Met.UNKNOWN
