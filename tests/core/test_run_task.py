"""One task always gives one result that the server can read, whatever the plugin does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from checking_core.contracts import (
    Answer,
    Ask,
    CheckStatus,
    DetectionConfig,
    DetectionTask,
    Evidence,
    EvidenceClaim,
    EvidenceKind,
    MatchTier,
    NearMiss,
    Outcome,
    Prevention,
    Reason,
)
from checking_core.errors import (
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    FatalDetectionError,
    RetriableDetectionError,
)
from checking_core.plugin import Finding
from checking_core.testing import ENDED, FakeDetector, a_task, hang
from checking_core.worker.run_task import close_detector, run_task

from .asking import SETTINGS, result_of

ALERT = Finding(alert=Answer.YES)


async def test_a_finding_becomes_the_result_of_its_task():
    record = Evidence(kind=EvidenceKind.ALERT, id="a-1", title="LSASS dump", host="ws01")
    finding = Finding(
        alert=Answer.YES,
        evidence=(record,),
        claims=(EvidenceClaim(record_id="a-1", tier=MatchTier.PROCESS),),
        match_tier=MatchTier.PROCESS,
        raw_response={"hits": 1},
        query_sent="index=alerts",
        searched_from=ENDED - timedelta(seconds=30),
        searched_to=ENDED,
        alert_at=ENDED + timedelta(seconds=30),
        clock_offset=0.5,
        warnings=("the index is old",),
    )
    task = a_task(look=3)
    result = await result_of(finding, look=3)
    assert (result.id, result.detection_execution_id, result.look) == (task.task_id, task.detection_execution_id, 3)
    assert (result.outcome, result.reason, result.final) == (Outcome.ALERTED, Reason.MATCHED_ALERT, True)
    assert (result.status, result.detected, result.result_source) == (CheckStatus.COMPLETED, True, "mock")
    assert result.parsed_results["evidence"] == [{"kind": "alert", "id": "a-1", "title": "LSASS dump", "host": "ws01"}]
    assert result.result_metadata == {"plugin": "fake", "warnings": ["the index is old"]}
    for name in ("claims", "match_tier", "raw_response", "query_sent", "searched_from", "alert_at", "clock_offset"):
        assert getattr(result, name) == getattr(finding, name)


async def test_a_question_that_was_asked_and_not_answered_is_unknown():
    config = {"alert": {}, "telemetry": {"query": "x"}, "prevention": True}
    result = await result_of(Finding(alert=Answer.NO), detection_config=config)
    assert (result.telemetry, result.prevention, result.rule) == (Answer.UNKNOWN, Prevention.UNKNOWN, Answer.NOT_ASKED)
    assert result.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("finding", "deadline_passed", "outcome", "reason", "final"),
    [
        (Finding(alert=Answer.NO), True, Outcome.NO_ALERT, Reason.DEADLINE_PASSED, True),
        (Finding(alert=Answer.NO), False, Outcome.INCONCLUSIVE, Reason.DEADLINE_NOT_REACHED, False),
        (Finding(alert=Answer.NO, complete=False), True, Outcome.INCONCLUSIVE, Reason.BACKEND_PARTIAL_ANSWER, False),
        (Finding(alert=Answer.YES, complete=False), True, Outcome.ALERTED, Reason.MATCHED_ALERT, True),
    ],
)
async def test_a_no_counts_only_from_a_complete_answer_after_the_deadline(
    finding, deadline_passed, outcome, reason, final
):
    result = await result_of(finding, deadline_passed=deadline_passed)
    assert (result.outcome, result.reason, result.final) == (outcome, reason, final)


async def test_a_task_that_knows_no_deadline_is_asked_once():
    result = await result_of(Finding(alert=Answer.NO), deadline=None, deadline_passed=False)
    assert (result.outcome, result.final) == (Outcome.NO_ALERT, True)


async def test_a_task_that_nothing_here_serves_is_answered_too():
    result = await run_task(None, a_task(), SETTINGS)
    assert (result.outcome, result.reason) == (Outcome.INCONCLUSIVE, Reason.UNSUPPORTED_PLATFORM)
    assert result.final


async def test_a_question_that_the_plugin_cannot_answer_makes_the_check_not_applicable():
    class AlertsOnly(FakeDetector):
        answers = frozenset({Ask.ALERT})

    detector = AlertsOnly()
    result = await result_of(detector=detector, detection_config={"alert": {}, "expect": "blocked"})
    assert (result.outcome, result.reason) == (Outcome.NOT_APPLICABLE, Reason.CAPABILITY_MISSING)
    assert result.result_metadata["error"] == "the plugin fake cannot answer: prevention"
    assert detector.asked == []


async def test_a_configuration_that_cannot_be_read_is_an_invalid_query():
    result = await result_of(ALERT, detection_config={"rule": {"language": "spl"}})
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, Reason.QUERY_INVALID, True)
    assert result.result_metadata["error"] == "detection_config.rule.query: Field required"


async def test_keys_that_nobody_reads_are_accepted_with_a_warning():
    result = await result_of(ALERT, detection_config={"alert": {}, "jitter": 5, "endpoint": "/x"})
    assert result.outcome is Outcome.ALERTED
    assert result.result_metadata["warnings"] == ["detection_config: nobody reads the key 'endpoint'"]


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (BackendUnreachableError("refused"), Reason.BACKEND_UNREACHABLE, False),
        (BackendRateLimitedError("slow down"), Reason.BACKEND_RATE_LIMITED, False),
        (BackendAuthFailedError("401"), Reason.BACKEND_AUTH_FAILED, True),
        (FatalDetectionError("no such rule", reason="rule_missing"), Reason.RULE_MISSING, True),
        (FatalDetectionError("odd", reason="made_up"), Reason.PLUGIN_ERROR, True),
        (KeyError("host"), Reason.PLUGIN_ERROR, True),
        (asyncio.CancelledError(), Reason.PLUGIN_ERROR, True),
        (SystemExit(1), Reason.PLUGIN_ERROR, True),
        (KeyboardInterrupt(), Reason.PLUGIN_ERROR, True),
        (GeneratorExit(), Reason.PLUGIN_ERROR, True),
        (BaseException("of the worst kind"), Reason.PLUGIN_ERROR, True),
        (ExceptionGroup("two", [ValueError("1"), ValueError("2")]), Reason.PLUGIN_ERROR, True),
        (RecursionError(), Reason.PLUGIN_ERROR, True),
    ],
)
async def test_whatever_a_plugin_raises_becomes_an_inconclusive_result(error, reason, final):
    result = await result_of(error)
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, reason, final)
    assert result.status is CheckStatus.FAILED
    assert result.result_metadata["error"]


async def test_a_capability_that_is_missing_only_now_makes_the_check_not_applicable():
    result = await result_of(FatalDetectionError("licence", reason="capability_missing"))
    assert (result.outcome, result.status) == (Outcome.NOT_APPLICABLE, CheckStatus.COMPLETED)


async def test_a_plugin_that_hangs_is_an_outage():
    timing = msgspec.structs.replace(a_task().timing, timeout=0.01)
    result = await result_of(hang, timing=timing, max_retries=0)
    assert (result.reason, result.final) == (Reason.BACKEND_UNREACHABLE, False)
    assert result.result_metadata["error"] == "no answer within 0.01 s"


async def test_attempts_that_failed_before_the_answer_are_told():
    result = await result_of(BackendUnreachableError("refused"), ALERT, max_retries=1)
    assert (result.outcome, result.retry_count) == (Outcome.ALERTED, 1)
    assert result.result_metadata["failed_attempts"] == ["refused"]


async def test_how_long_a_backend_wants_to_be_left_alone_is_told():
    result = await result_of(BackendRateLimitedError("slow down", retry_after=timedelta(minutes=5)))
    assert result.result_metadata["retry_after"] == 300


async def test_a_bug_names_its_place_and_no_folder():
    async def buggy(_: DetectionTask) -> Finding:
        return {}["host"]

    metadata = (await result_of(buggy)).result_metadata
    assert metadata["raised_at"].startswith("test_run_task.py:")
    assert metadata["error_type"] == "KeyError"


class UntellableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(9)


class UnreadableError(FatalDetectionError):
    """Computes its reason, and fails at that."""

    reason = property(lambda _: 1 / 0, lambda *_: None)


class UnfinishedError(RetriableDetectionError):
    """Its author forgot to call the base class."""

    def __init__(self) -> None:
        pass


class HostileConfig(DetectionConfig):
    @classmethod
    def model_validate(cls, *_: Any, **__: Any) -> Any:
        raise SystemExit(2)


class HostileConfigDetector(FakeDetector):
    Config = HostileConfig


class HalfBuiltDetector(FakeDetector):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    "detector",
    [
        FakeDetector([UntellableError()]),
        FakeDetector([UnfinishedError()]),
        FakeDetector([UnreadableError("odd")]),
        FakeDetector([BackendRateLimitedError("slow", retry_after=30)]),
        FakeDetector([FatalDetectionError("odd", reason=["list"])]),
        HostileConfigDetector(),
        HalfBuiltDetector(),
    ],
    ids=lambda detector: type(detector).__name__,
)
@pytest.mark.parametrize("max_retries", [0, 2])
async def test_not_even_a_broken_error_or_a_half_built_detector_gets_through(detector, max_retries):
    result = await result_of(detector=detector, max_retries=max_retries)
    assert result.outcome is Outcome.INCONCLUSIVE


async def test_near_misses_are_all_counted_and_the_first_are_kept():
    misses = tuple(NearMiss(kind=EvidenceKind.ALERT, id=str(n), reason=Reason.ALERT_OTHER_HOST) for n in range(50))
    parsed = (await result_of(Finding(alert=Answer.NO, near_misses=misses))).parsed_results
    assert (len(parsed["near_misses"]), parsed["near_miss_counts"]) == (20, {"alert_other_host": 50})


async def test_a_shutdown_is_no_result():
    begun = asyncio.Event()

    async def work(task: DetectionTask) -> Finding:
        begun.set()
        return await hang(task)

    running = asyncio.create_task(run_task(FakeDetector([work]), a_task(), SETTINGS))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(1), asyncio.CancelledError()])
async def test_a_detector_that_fails_to_close_harms_nobody(error):
    class Closing(FakeDetector):
        closed = False

        async def close(self) -> None:
            self.closed = True
            raise error

    detector = Closing()
    await close_detector(detector, within=1)
    assert detector.closed


async def test_a_detector_that_closes_for_ever_is_left_behind():
    class Closing(FakeDetector):
        closing = False

        async def close(self) -> None:
            self.closing = True
            await asyncio.Event().wait()

    detector = Closing()
    await close_detector(detector, within=0.01)
    assert detector.closing


async def test_a_shutdown_does_not_wait_for_a_detector_to_close():
    closing = asyncio.Event()

    class Closing(FakeDetector):
        async def close(self) -> None:
            closing.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(close_detector(Closing(), within=60))
    await closing.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
