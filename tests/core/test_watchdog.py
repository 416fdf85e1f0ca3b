"""The watchdog: ends a process that a detector blocks, names the culprit, and leaves a patient detector alone."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from structlog.testing import capture_logs

from checking_core.contracts import Answer, DetectionTask
from checking_core.plugin import BaseWorker, Finding
from checking_core.settings import WorkerSettings
from checking_core.testing import FakeDetector, a_task
from checking_core.worker.run_task import run_task
from checking_core.worker.signals import leave
from checking_core.worker.watchdog import EXIT_BLOCKED, Watchdog

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0)
FOUND = Finding(alert=Answer.YES)


class Ended:
    """How often the process would have ended, and how."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.once = threading.Event()

    def __call__(self, code: int) -> None:
        self.codes.append(code)
        self.once.set()


@pytest.fixture
def ended() -> Ended:
    return Ended()


def tick(watchdog: Watchdog, times: int) -> None:
    """Let the watchdog ask so often while nothing else happens in the event loop."""
    for _ in range(times):
        watchdog.check()


async def asked(watchdog: Watchdog, detector: BaseWorker, **config: Any) -> None:
    """One look under this watchdog, to its end."""
    task = a_task(detection_config={"alert": {"rule": "any"}, **config}, timing=None)
    await run_task(detector, task, SETTINGS, watchdog=watchdog)


@pytest.mark.parametrize("ticks", [1, 30])
async def test_a_loop_that_stands_still_for_less_than_the_grace_ends_nothing(ticks: int, ended: Ended):
    tick(Watchdog(grace=30, tick=1, end=ended), 1 + ticks)
    assert ended.codes == []


async def test_a_loop_that_stands_still_for_longer_than_the_grace_ends_the_process(ended: Ended):
    tick(Watchdog(grace=30, tick=1, end=ended), 1 + 31)
    assert ended.codes == [EXIT_BLOCKED]


@pytest.mark.parametrize(("ticks", "codes"), [(5 + 30, []), (5 + 31, [EXIT_BLOCKED])])
async def test_a_detector_may_block_for_its_time_out_and_the_grace(ticks: int, codes: list[int], ended: Ended):
    watchdog = Watchdog(grace=30, tick=1, end=ended)

    async def block(_: DetectionTask) -> Finding:
        tick(watchdog, 1 + ticks)
        return FOUND

    await asked(watchdog, FakeDetector([block]), timeout=5)
    assert ended.codes == codes


async def test_the_longest_time_out_under_way_counts(ended: Ended):
    watchdog = Watchdog(grace=30, tick=1, end=ended)
    waiting, answer = asyncio.Event(), asyncio.Event()

    async def wait(_: DetectionTask) -> Finding:
        waiting.set()
        await answer.wait()
        return FOUND

    patient = asyncio.create_task(asked(watchdog, FakeDetector([wait]), timeout=600))
    await waiting.wait()
    tick(watchdog, 1 + 600 + 30)
    answer.set()
    await patient
    assert ended.codes == []
    tick(watchdog, 1 + 31)
    assert ended.codes == [EXIT_BLOCKED]


async def test_a_detector_that_waits_leaves_the_loop_free_and_is_left_alone(ended: Ended):
    watchdog = Watchdog(grace=2, tick=1, end=ended)

    async def wait(_: DetectionTask) -> Finding:
        for _ in range(100):
            watchdog.check()
            await asyncio.sleep(0)
        return FOUND

    await asked(watchdog, FakeDetector([wait]), timeout=1)
    assert ended.codes == []


async def test_the_log_names_the_task_that_blocks_all_that_are_under_way_and_the_place(ended: Ended):
    watchdog = Watchdog(grace=30, tick=1, end=ended)
    waiting, answer = asyncio.Event(), asyncio.Event()

    async def wait(_: DetectionTask) -> Finding:
        waiting.set()
        await answer.wait()
        return FOUND

    async def block(_: DetectionTask) -> Finding:
        tick(watchdog, 1 + 5 + 31)
        return FOUND

    patient, blocking = FakeDetector([wait], backend="edr"), FakeDetector([block], backend="siem")
    other = asyncio.create_task(run_task(patient, a_task(1), SETTINGS, watchdog=watchdog))
    await waiting.wait()
    with capture_logs() as lines:
        await run_task(blocking, a_task(2), SETTINGS, watchdog=watchdog)
    answer.set()
    await other
    (line,) = lines
    culprit = f"siem {a_task(2).task_id}"
    assert (line["event"], line["log_level"], line["asyncio_task"]) == ("event_loop_blocked", "critical", culprit)
    assert set(line["looks"]) == {culprit, f"edr {a_task(1).task_id}"}
    assert any(frame.startswith("core/test_watchdog.py:") and frame.endswith(".block") for frame in line["frames"])


def test_the_thread_finds_a_blocked_loop_by_itself(ended: Ended):
    async def serve() -> bool:
        with Watchdog(grace=0.01, tick=0.005, end=ended).watching():
            return ended.once.wait(60)

    assert asyncio.run(serve())
    assert set(ended.codes) == {EXIT_BLOCKED}


async def test_the_thread_ends_with_its_block(ended: Ended):
    before = threading.active_count()
    with Watchdog(end=ended).watching():
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert ended.codes == []


def test_whoever_holds_the_lock_of_the_log_keeps_no_process_alive(ended: Ended):
    released = threading.Event()
    leave(EXIT_BLOCKED, released.wait, within=0.01, end=ended)
    released.set()
    assert ended.codes == [EXIT_BLOCKED]
