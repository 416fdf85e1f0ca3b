"""The verdict table: what may be concluded from what a backend answered."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import (
    Answer,
    Axes,
    CheckStatus,
    DetectionResult,
    Expect,
    Met,
    Outcome,
    Prevention,
    Reason,
)
from checking_core.matching.judge import (
    detected_of,
    judge,
    met_of,
    original_verdict,
    outranks,
    result_axes_from_original,
    status_of,
)

YES, NO, UNKNOWN, NOT_ASKED = Answer.YES, Answer.NO, Answer.UNKNOWN, Answer.NOT_ASKED
BLOCKED, NOT_BLOCKED = Prevention.BLOCKED, Prevention.NOT_BLOCKED

axes = st.builds(
    Axes,
    prevention=st.sampled_from(Prevention),
    alert=st.sampled_from(Answer),
    rule=st.sampled_from(Answer),
    telemetry=st.sampled_from(Answer),
    alive=st.sampled_from(Answer),
)


@pytest.mark.parametrize(
    ("answered", "outcome", "reason"),
    [
        (Axes(prevention=BLOCKED, alert=YES), Outcome.BLOCKED, Reason.MATCHED_ALERT),
        (Axes(prevention=BLOCKED, rule=YES, alert=NO), Outcome.BLOCKED, Reason.MATCHED_RULE),
        (Axes(prevention=BLOCKED, alert=NO, rule=NO), Outcome.BLOCKED, Reason.PREEMPTED),
        (Axes(prevention=BLOCKED), Outcome.BLOCKED, Reason.PREVENTED),
        (Axes(prevention=Prevention.TERMINATED, alert=YES), Outcome.ALERTED, Reason.MATCHED_ALERT),
        (Axes(alert=YES, rule=YES, telemetry=YES), Outcome.ALERTED, Reason.MATCHED_ALERT),
        (Axes(alert=NO, rule=YES), Outcome.MATCHED, Reason.MATCHED_RULE),
        (Axes(alert=UNKNOWN, rule=YES), Outcome.MATCHED, Reason.MATCHED_RULE),
        (Axes(alert=NO, telemetry=YES), Outcome.LOGGED, Reason.TELEMETRY_WITHOUT_ALERT),
        (Axes(telemetry=YES), Outcome.LOGGED, Reason.TELEMETRY_ONLY),
        (Axes(alert=UNKNOWN, telemetry=YES), Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER),
        (Axes(alert=NO, telemetry=NO, alive=YES), Outcome.NONE, Reason.NO_TELEMETRY),
        (Axes(telemetry=NO, alive=YES), Outcome.NONE, Reason.NO_TELEMETRY),
        (Axes(alert=NO, telemetry=NO), Outcome.INCONCLUSIVE, Reason.NO_TELEMETRY),
        (Axes(alert=NO, telemetry=NO, alive=NO), Outcome.INCONCLUSIVE, Reason.SOURCE_SILENT),
        (Axes(alert=NO, telemetry=NO, alive=UNKNOWN), Outcome.INCONCLUSIVE, Reason.NO_TELEMETRY),
        (Axes(alert=NO), Outcome.NO_ALERT, Reason.DEADLINE_PASSED),
        (Axes(rule=NO, alive=YES), Outcome.NO_ALERT, Reason.DEADLINE_PASSED),
        (Axes(alert=NO, rule=UNKNOWN), Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER),
        (Axes(alert=NO, alive=NO), Outcome.INCONCLUSIVE, Reason.SOURCE_SILENT),
        (Axes(alive=YES), Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER),
    ],
)
def test_the_headline_is_the_first_that_holds(answered, outcome, reason):
    verdict = judge(answered, proven=True)
    assert (verdict.outcome, verdict.reason, verdict.final) == (outcome, reason, True)


@pytest.mark.parametrize(
    ("answered", "outcome", "final"),
    [
        (Axes(alert=YES), Outcome.ALERTED, True),
        (Axes(rule=YES), Outcome.MATCHED, True),
        (Axes(telemetry=YES), Outcome.LOGGED, True),
        (Axes(prevention=BLOCKED), Outcome.BLOCKED, True),
        (Axes(prevention=NOT_BLOCKED, alert=YES), Outcome.ALERTED, True),
        (Axes(alert=NO, rule=YES), Outcome.MATCHED, False),
        (Axes(prevention=Prevention.UNKNOWN, alert=YES), Outcome.ALERTED, False),
        (Axes(prevention=NOT_BLOCKED, rule=YES), Outcome.MATCHED, False),
        (Axes(prevention=BLOCKED, alert=NO), Outcome.BLOCKED, False),
        (Axes(alert=NO, telemetry=YES), Outcome.INCONCLUSIVE, False),
        (Axes(alert=NO), Outcome.INCONCLUSIVE, False),
        (Axes(telemetry=NO, alive=YES), Outcome.INCONCLUSIVE, False),
    ],
)
def test_before_the_deadline_a_hit_is_final_unless_something_stronger_may_still_come(answered, outcome, final):
    verdict = judge(answered, proven=False)
    assert (verdict.outcome, verdict.final) == (outcome, final)


@given(axes)
def test_an_unproven_no_is_never_a_no(answered):
    verdict = judge(answered, proven=False)
    assert NO not in (verdict.axes.alert, verdict.axes.rule, verdict.axes.telemetry, verdict.axes.alive)
    assert verdict.outcome not in (Outcome.NONE, Outcome.NO_ALERT)
    assert verdict.detected is not False


@given(axes, st.booleans(), st.none() | st.sampled_from(Reason))
def test_a_yes_is_kept_whatever_else_is_missing(answered, proven, reason):
    verdict = judge(answered, proven=proven, reason=reason)
    for name in ("alert", "rule", "telemetry", "alive"):
        if getattr(answered, name) is YES:
            assert getattr(verdict.axes, name) is YES
    if YES in (answered.alert, answered.rule) or answered.prevention is BLOCKED:
        assert verdict.outcome in (Outcome.BLOCKED, Outcome.ALERTED, Outcome.MATCHED)


@given(axes)
def test_a_look_after_the_deadline_with_a_complete_answer_is_the_last(answered):
    assert judge(answered, proven=True).final


@given(axes, st.booleans())
def test_judging_a_judged_answer_changes_nothing(answered, proven):
    once = judge(answered, proven=proven)
    assert judge(once.axes, proven=proven) == once


def test_a_silent_source_proves_no_absence_unless_something_was_seen_in_it():
    assert judge(Axes(alert=NO, alive=NO), proven=True).axes.alert is UNKNOWN
    assert judge(Axes(alert=NO, telemetry=YES, alive=NO), proven=True).outcome is Outcome.LOGGED


def test_the_detectors_reason_explains_a_miss_and_never_a_hit():
    missed = judge(Axes(alert=NO), proven=True, reason=Reason.ALERT_OTHER_HOST)
    hit = judge(Axes(alert=YES), proven=True, reason=Reason.ALERT_OTHER_HOST)
    assert (missed.reason, hit.reason) == (Reason.ALERT_OTHER_HOST, Reason.MATCHED_ALERT)


@pytest.mark.parametrize(
    ("answered", "reason"),
    [
        (Axes(alert=NO, alive=NO), Reason.SOURCE_SILENT),
        (Axes(alert=NO, telemetry=NO), Reason.NO_TELEMETRY),
        (Axes(alert=UNKNOWN), Reason.ALERT_OTHER_HOST),
    ],
)
def test_what_explains_a_miss_does_not_explain_a_doubt_that_has_a_reason_of_its_own(answered, reason):
    assert judge(answered, proven=True, reason=Reason.ALERT_OTHER_HOST).reason is reason


def test_what_spoiled_the_answer_explains_a_doubt_before_anything_else():
    verdict = judge(Axes(alert=NO, alive=NO), proven=False, reason=Reason.BACKEND_PARTIAL_ANSWER)
    assert verdict.reason is Reason.BACKEND_PARTIAL_ANSWER


@given(axes, st.booleans(), st.none() | st.sampled_from(Reason))
def test_every_verdict_has_a_reason(answered, proven, reason):
    assert isinstance(judge(answered, proven=proven, reason=reason).reason, Reason)


def test_a_miss_of_everything_is_explained_by_what_is_known_of_the_rule():
    verdict = judge(Axes(alert=NO, telemetry=NO, alive=YES), proven=True, reason=Reason.RULE_DISABLED)
    assert (verdict.outcome, verdict.reason) == (Outcome.NONE, Reason.RULE_DISABLED)


@given(axes, st.booleans())
def test_a_verdict_says_what_its_axes_and_its_headline_mean(answered, proven):
    verdict = judge(answered, proven=proven)
    assert verdict.detected is detected_of(verdict.axes)
    assert verdict.status is status_of(verdict.outcome)


def test_not_yet_says_that_the_deadline_has_not_come():
    assert judge(Axes(alert=NO), proven=False).reason is Reason.DEADLINE_NOT_REACHED


@pytest.mark.parametrize(
    ("answered", "detected"),
    [
        (Axes(alert=YES, rule=NO), True),
        (Axes(alert=NO, rule=YES), True),
        (Axes(alert=NO), False),
        (Axes(alert=NO, rule=UNKNOWN), None),
        (Axes(telemetry=YES), None),
        (Axes(prevention=BLOCKED, alert=NO), None),
        (Axes(), None),
    ],
)
def test_detected_is_a_hit_a_proven_miss_or_unknown(answered, detected):
    assert detected_of(answered) is detected


def test_only_a_yes_outranks_and_in_the_order_of_the_headlines():
    ranked = (Outcome.BLOCKED, Outcome.ALERTED, Outcome.MATCHED, Outcome.LOGGED)
    for outcome, other in product(Outcome, Outcome):
        weaker = ranked[ranked.index(outcome) + 1 :] if outcome in ranked else ()
        shows_nothing = outcome in ranked and other not in ranked
        assert outranks(outcome, other) is (other in weaker or shows_nothing)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_an_inconclusive_check_failed(outcome):
    expected = {Outcome.INCONCLUSIVE: CheckStatus.FAILED, Outcome.PENDING: CheckStatus.PENDING}
    assert status_of(outcome) is expected.get(outcome, CheckStatus.COMPLETED)


MET_BY = [
    (Expect.BLOCKED, Axes(prevention=BLOCKED), Met.YES),
    (Expect.BLOCKED, Axes(prevention=Prevention.TERMINATED, alert=YES), Met.NO),
    (Expect.BLOCKED, Axes(prevention=NOT_BLOCKED, alert=YES), Met.NO),
    (Expect.BLOCKED, Axes(prevention=Prevention.UNKNOWN, alert=YES), Met.UNKNOWN),
    (Expect.ALERTED, Axes(alert=YES), Met.YES),
    (Expect.ALERTED, Axes(prevention=BLOCKED, alert=YES), Met.YES),
    (Expect.ALERTED, Axes(prevention=BLOCKED, alert=NO), Met.UNKNOWN),
    (Expect.ALERTED, Axes(alert=NO, rule=YES), Met.NO),
    (Expect.ALERTED, Axes(alert=UNKNOWN, rule=YES), Met.UNKNOWN),
    (Expect.ALERTED, Axes(rule=YES), Met.UNKNOWN),
    (Expect.MATCHED, Axes(rule=YES), Met.YES),
    (Expect.MATCHED, Axes(alert=YES, rule=NO), Met.YES),
    (Expect.MATCHED, Axes(rule=NO), Met.NO),
    (Expect.MATCHED, Axes(prevention=BLOCKED, rule=NO), Met.UNKNOWN),
    (Expect.MATCHED, Axes(telemetry=YES), Met.UNKNOWN),
    (Expect.LOGGED, Axes(telemetry=YES), Met.YES),
    (Expect.LOGGED, Axes(alert=YES), Met.YES),
    (Expect.LOGGED, Axes(rule=YES), Met.YES),
    (Expect.LOGGED, Axes(telemetry=NO, alive=YES), Met.NO),
    (Expect.LOGGED, Axes(telemetry=NO, alive=NO), Met.UNKNOWN),
    (Expect.LOGGED, Axes(rule=NO), Met.UNKNOWN),
    (Expect.SILENT, Axes(alert=NO, rule=NO), Met.YES),
    (Expect.SILENT, Axes(alert=YES), Met.NO),
    (Expect.SILENT, Axes(alert=NO, rule=YES), Met.NO),
    (Expect.SILENT, Axes(prevention=BLOCKED, alert=NO), Met.NO),
    (Expect.SILENT, Axes(alert=NO, rule=UNKNOWN), Met.UNKNOWN),
    (Expect.SILENT, Axes(telemetry=YES), Met.UNKNOWN),
    (Expect.OBSERVE, Axes(alert=YES), Met.YES),
    (Expect.OBSERVE, Axes(alert=NO), Met.YES),
    (Expect.OBSERVE, Axes(alert=UNKNOWN), Met.UNKNOWN),
]


@pytest.mark.parametrize(("expect", "answered", "met"), MET_BY)
def test_an_expectation_is_met_by_its_own_axis(expect, answered, met):
    verdict = judge(answered, proven=True)
    assert met_of(expect, verdict.outcome, verdict.axes)[0] is met


@pytest.mark.parametrize("expect", [Expect.ALERTED, Expect.MATCHED, Expect.LOGGED])
def test_what_a_block_kept_from_happening_was_preempted(expect):
    verdict = judge(Axes(prevention=BLOCKED, alert=NO, rule=NO), proven=True)
    assert met_of(expect, verdict.outcome, verdict.axes) == (Met.UNKNOWN, Reason.PREEMPTED)


@given(axes, st.booleans(), st.booleans())
def test_an_observation_is_never_unmet(answered, proven, failed):
    verdict = judge(answered, proven=proven)
    assert met_of(Expect.OBSERVE, verdict.outcome, verdict.axes, execution_failed=failed)[0] is not Met.NO


@pytest.mark.parametrize("expect", [Expect.ALERTED, Expect.MATCHED, Expect.BLOCKED, Expect.SILENT])
def test_a_failed_execution_that_left_nothing_proves_nothing(expect):
    verdict = judge(Axes(prevention=NOT_BLOCKED, alert=NO, rule=NO), proven=True)
    measured = met_of(expect, verdict.outcome, verdict.axes, execution_failed=True)
    assert measured == (Met.UNKNOWN, Reason.EXECUTION_FAILED)


@pytest.mark.parametrize(
    ("expect", "answered"),
    [
        (Expect.ALERTED, Axes(telemetry=NO, alive=YES)),
        (Expect.LOGGED, Axes(alert=NO)),
        (Expect.BLOCKED, Axes(prevention=NOT_BLOCKED, alert=UNKNOWN)),
    ],
)
def test_a_failed_execution_explains_whatever_was_not_there(expect, answered):
    verdict = judge(answered, proven=True)
    measured = met_of(expect, verdict.outcome, verdict.axes, execution_failed=True)
    assert measured == (Met.UNKNOWN, Reason.EXECUTION_FAILED)


@pytest.mark.parametrize(
    ("prevention", "measured"),
    [(BLOCKED, (Met.YES, None)), (Prevention.TERMINATED, (Met.NO, None))],
)
def test_an_execution_that_failed_because_it_was_stopped_is_measured_as_any_other(prevention, measured):
    verdict = judge(Axes(prevention=prevention, alert=NO), proven=True)
    assert met_of(Expect.BLOCKED, verdict.outcome, verdict.axes, execution_failed=True) == measured


def test_a_failed_execution_that_left_traces_is_measured_as_any_other():
    verdict = judge(Axes(alert=NO, telemetry=YES), proven=True)
    assert met_of(Expect.ALERTED, verdict.outcome, verdict.axes, execution_failed=True) == (Met.NO, None)


@pytest.mark.parametrize("outcome", [Outcome.NOT_RUN, Outcome.NOT_APPLICABLE, Outcome.INCONCLUSIVE, Outcome.PENDING])
@pytest.mark.parametrize("expect", list(Expect))
def test_what_was_not_asked_is_neither_met_nor_missed(outcome, expect):
    assert met_of(expect, outcome, Axes(), execution_failed=True) == (Met.UNKNOWN, None)


@pytest.mark.parametrize(
    ("detected", "status", "rule"),
    [
        (True, CheckStatus.COMPLETED, YES),
        (False, CheckStatus.COMPLETED, NO),
        (None, CheckStatus.COMPLETED, UNKNOWN),
        (False, CheckStatus.FAILED, UNKNOWN),
        (True, CheckStatus.FAILED, UNKNOWN),
    ],
)
def test_an_original_worker_answers_for_the_rule(detected, status, rule):
    assert result_axes_from_original(detected, status) == Axes(rule=rule)


def an_original_result(detected: bool | None, status: CheckStatus = CheckStatus.COMPLETED) -> DetectionResult:
    return DetectionResult(
        id=UUID(int=1),
        detection_execution_id=UUID(int=2),
        detected=detected,
        status=status,
        result_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    )


COMPLETED, FAILED = CheckStatus.COMPLETED, CheckStatus.FAILED


@pytest.mark.parametrize(
    ("answer", "deadline_passed", "rule", "verdict"),
    [
        ((True, COMPLETED), False, YES, (Outcome.MATCHED, Reason.MATCHED_RULE, True, COMPLETED, True)),
        ((True, COMPLETED), True, YES, (Outcome.MATCHED, Reason.MATCHED_RULE, True, COMPLETED, True)),
        (
            (False, COMPLETED),
            False,
            UNKNOWN,
            (Outcome.INCONCLUSIVE, Reason.DEADLINE_NOT_REACHED, None, FAILED, False),
        ),
        ((False, COMPLETED), True, NO, (Outcome.NO_ALERT, Reason.DEADLINE_PASSED, False, COMPLETED, True)),
        ((None, COMPLETED), True, UNKNOWN, (Outcome.INCONCLUSIVE, Reason.PLUGIN_ERROR, None, FAILED, False)),
        ((False, FAILED), True, UNKNOWN, (Outcome.INCONCLUSIVE, Reason.PLUGIN_ERROR, None, FAILED, False)),
    ],
)
def test_an_original_result_gets_the_verdict_it_did_not_write(answer, deadline_passed, rule, verdict):
    result = original_verdict(an_original_result(*answer), deadline_passed=deadline_passed)
    assert (result.outcome, result.reason, result.detected, result.status, result.final) == verdict
    assert (result.rule, result.id) == (rule, UUID(int=1))
