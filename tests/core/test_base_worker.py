"""The template of a detector: jitter, attempts, time-outs, retries, the limit of attempts at a time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random

import pytest

from checking_core.contracts import Answer, DetectionConfig, DetectionTask
from checking_core.errors import (
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    FatalDetectionError,
)
from checking_core.plugin import Finding, Look, RetryPolicy
from checking_core.settings import WorkerSettings
from checking_core.testing import FakeDetector, a_task, hang

FOUND = Finding(alert=Answer.YES)
AWAY = BackendUnreachableError("connection refused")


def a_look(**changes: object) -> Look:
    fields: dict[str, object] = {
        "task": a_task(),
        "timeout": 5.0,
        "policy": RetryPolicy(retries=3, delay=1.0),
        "jitter": (0.0, 0.0),
        "failed": [],
    }
    return Look(**(fields | changes))


async def test_a_transient_error_is_followed_by_another_attempt():
    detector, look = FakeDetector([AWAY, AWAY, FOUND]), a_look()
    assert await detector.look(look) == FOUND
    assert (len(detector.asked), look.failed) == (3, [AWAY, AWAY])


async def test_waits_grow_between_attempts():
    detector = FakeDetector([AWAY, AWAY, AWAY, FOUND])
    await detector.look(a_look())
    first, second, third = detector.slept
    assert 1.0 <= first <= 1.5 < second <= 3.0 < third <= 6.0


async def test_when_the_retries_are_spent_the_last_error_is_raised():
    last = BackendUnreachableError("still refused")
    detector, look = FakeDetector([AWAY, last]), a_look(policy=RetryPolicy(retries=1))
    with pytest.raises(BackendUnreachableError, match="still refused"):
        await detector.look(look)
    assert look.failed == [AWAY]


@pytest.mark.parametrize("error", [BackendAuthFailedError("401"), ValueError("a bug")])
async def test_what_asking_again_cannot_change_is_raised_at_once(error):
    detector = FakeDetector([error, FOUND])
    with pytest.raises(type(error)):
        await detector.look(a_look())
    assert (len(detector.asked), detector.slept) == (1, [])


async def test_a_backend_that_asks_for_more_time_than_a_look_has_ends_the_look():
    detector = FakeDetector([BackendRateLimitedError("slow down", retry_after=timedelta(hours=1)), FOUND])
    with pytest.raises(BackendRateLimitedError):
        await detector.look(a_look())
    assert detector.slept == []


async def test_jitter_comes_first_from_the_given_random_source():
    detector = FakeDetector()
    await detector.look(a_look(jitter=(0.1, 0.5)))
    assert detector.slept == [Random(1).uniform(0.1, 0.5)]


async def test_an_attempt_without_an_answer_ends_at_its_time_out_and_counts_as_an_outage():
    detector, look = FakeDetector([hang, FOUND]), a_look(timeout=0.01)
    assert await detector.look(look) == FOUND
    assert str(look.failed[0]) == "no answer within 0.01 s"


async def test_an_attempt_that_ignores_its_cancellation_is_left_behind():
    class Stubborn(FakeDetector):
        cancel_grace = 0.01

    ended = asyncio.Event()

    async def ignore(_: DetectionTask) -> Finding:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("too late to matter")

    with pytest.raises(BackendUnreachableError):
        await Stubborn([ignore]).look(a_look(timeout=0.01, policy=RetryPolicy(retries=0)))
    ended.set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_a_plugin_that_wants_to_end_the_process_ends_its_look(error):
    with pytest.raises(FatalDetectionError, match=type(error).__name__):
        await FakeDetector([error]).look(a_look())


async def test_a_plugin_that_cancels_itself_is_told_from_a_shutdown():
    with pytest.raises(FatalDetectionError, match="cancelled its own attempt"):
        await FakeDetector([asyncio.CancelledError()]).look(a_look())


async def test_a_shutdown_cancels_the_attempt_that_is_under_way():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work(task: DetectionTask) -> Finding:
        begun.set()
        try:
            return await hang(task)
        finally:
            ended.set()

    look = asyncio.create_task(FakeDetector([work]).look(a_look()))
    await begun.wait()
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    assert ended.is_set()


async def test_no_more_attempts_run_at_a_time_than_the_product_tolerates():
    class Narrow(FakeDetector):
        concurrency = 2

    running, most = 0, 0

    async def work(_: DetectionTask) -> Finding:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return FOUND

    detector = Narrow([work])
    await asyncio.gather(*(detector.look(a_look()) for _ in range(10)))
    assert most == 2


async def test_a_wait_between_attempts_holds_no_place():
    class Narrow(FakeDetector):
        concurrency = 1

        async def _nap(self, seconds: float) -> None:
            await self.look(a_look())

    assert await Narrow([AWAY, FOUND]).look(a_look()) == FOUND


async def test_start_runs_once_before_the_first_attempt_and_again_only_if_it_failed():
    class Starting(FakeDetector):
        starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                raise AWAY

    detector = Starting()
    await asyncio.gather(*(detector.look(a_look()) for _ in range(5)))
    assert detector.starts == 2


def test_a_task_that_brings_its_times_is_asked_by_them():
    settings = WorkerSettings(max_retries=9, retry_delay=9, jitter_min=0.1, jitter_max=0.2)
    look = Look.of(a_task(max_retries=2), DetectionConfig(), settings, [])
    assert (look.timeout, look.policy, look.jitter) == (5, RetryPolicy(retries=2, delay=0), (0.1, 0.2))


def test_a_task_without_times_is_asked_by_the_workers():
    settings = WorkerSettings(max_retries=4, retry_delay=7)
    look = Look.of(a_task(timing=None), DetectionConfig(timeout="20s"), settings, [])
    assert (look.timeout, look.policy) == (20, RetryPolicy(retries=4, delay=7))


async def test_without_a_self_check_a_detector_does_not_claim_to_be_healthy():
    assert (await FakeDetector().self_check()).ok is None
