"""``checking-worker run`` as a process on a real broker: killed, stopped, blocked, and nothing lost by any of it."""

from __future__ import annotations

import json
import signal
import subprocess
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.services import Broker
from tests.throw_away import install_plugin

from .command import PATIENCE, environment, eventually
from .worker import WORKER, Bus, Working, working

_numbers = count()

GATED = """
import asyncio, os, pathlib
from checking_core import Answer, Ask, BaseWorker, Finding, hookimpl

class Gated(BaseWorker):
    platform = "gated"
    answers = frozenset(Ask)

    async def detect(self, task):
        folder = pathlib.Path(os.environ["HOME"])
        (folder / f"began-{task.task_id}").touch()
        while not (folder / "open").exists():
            await asyncio.sleep(0.02)
        return Finding(rule=Answer.YES)

@hookimpl
def checking_detectors():
    return [Gated]
"""

BLOCKING = """
import asyncio, re, time
from typing import Literal
from checking_core import Answer, Ask, BaseWorker, DetectionConfig, Finding, hookimpl

class Config(DetectionConfig):
    how: Literal["sleep", "match", "wait"]

class Blocking(BaseWorker):
    platform = "blocking"
    answers = frozenset(Ask)
    Config = Config

    async def detect(self, task):
        match task.detection_config["how"]:
            case "sleep":
                time.sleep(600)
            case "match":
                re.match("(a|a)+$", "a" * 100 + "b")
        await asyncio.sleep(0.2)
        return Finding(rule=Answer.YES)

@hookimpl
def checking_detectors():
    return [Blocking]
"""


@pytest.fixture
def bus(rabbitmq: Broker) -> Bus:
    """Names of this test's own on the broker."""
    return Bus(rabbitmq.url, f"worker{next(_numbers)}.")


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """The folder of a plugin whose looks end when the file ``open`` is there."""
    install_plugin(tmp_path, "gated", GATED)
    return tmp_path


@pytest.fixture
def blocking(tmp_path: Path) -> Path:
    """The folder of a plugin that never lets go."""
    install_plugin(tmp_path, "blocking", BLOCKING)
    return tmp_path


def begun(folder: Path, task_id: str) -> None:
    """Wait until the gated plugin looks."""
    eventually((folder / f"began-{task_id}").exists, "the look has begun")


def leaving(worker: Working, number: signal.Signals) -> None:
    """Tell it to stop, and wait until it takes nothing more."""
    worker.process.send_signal(number)
    eventually(lambda: "draining" in worker.log and "tasks=1" in worker.log, "it takes nothing more")


# --- at work -------------------------------------------------------------------------------------------------


def test_a_task_of_the_original_server_is_answered_on_the_response_queue(tmp_path: Path, bus: Bus):
    with working(tmp_path, bus) as worker:
        task_id = bus.send("mock", mock={"answer": "matched"})
        result = bus.results(task_id)[task_id]
        assert (result["detected"], result["status"], result["result_source"]) == (True, "completed", "mock")
        assert worker.ended_by(signal.SIGTERM) == 0


def test_a_worker_takes_only_what_it_serves(tmp_path: Path, bus: Bus):
    backends = json.dumps({name: {"plugin": "mock"} for name in ("edr", "siem")})
    with working(tmp_path, bus, "--backend", "siem", BACKENDS=backends):
        pass
    with working(tmp_path, bus, "--backend", "edr", BACKENDS=backends):
        of_siem, of_edr = bus.send("siem"), bus.send("edr")
        assert bus.results(of_edr).keys() == {of_edr}
        assert (bus.waiting("api.tasks.siem"), bus.consumers("api.tasks.siem")) == (1, 0)
    with working(tmp_path, bus, BACKENDS=backends):
        assert bus.results(of_siem).keys() == {of_siem}


def test_a_worker_goes_on_when_its_broker_comes_back(gated: Path, bus: Bus, rabbitmq: Broker):
    with working(gated, bus, plugins=gated) as worker:
        interrupted = bus.send("gated")
        begun(gated, interrupted)
        rabbitmq.restart()
        (gated / "open").touch()
        later = bus.send("gated")
        assert bus.results(interrupted, later).keys() == {interrupted, later}
        assert worker.ended_by(signal.SIGTERM) == 0


# --- told to stop --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_at_the_stop_running_looks_end_and_the_rest_stays_on_the_broker(gated: Path, bus: Bus, number: signal.Signals):
    with working(gated, bus, "--concurrency", "1", plugins=gated) as worker:
        running = bus.send("gated")
        begun(gated, running)
        bus.send("gated")
        leaving(worker, number)
        (gated / "open").touch()
        assert worker.ended() == 0
    assert bus.results(running).keys() == {running}
    assert bus.waiting("api.tasks.gated") == 1


def test_what_does_not_end_within_the_drain_time_goes_back_to_the_broker(gated: Path, bus: Bus):
    with working(gated, bus, "--drain", "0", plugins=gated) as worker:
        begun(gated, bus.send("gated"))
        assert worker.ended_by(signal.SIGTERM) == 0
    assert bus.waiting("api.tasks.gated") == 1


def test_the_second_ctrl_c_leaves_at_once_and_loses_nothing(gated: Path, bus: Bus):
    with working(gated, bus, "--drain", "600", plugins=gated) as worker:
        begun(gated, bus.send("gated"))
        leaving(worker, signal.SIGINT)
        assert worker.process.poll() is None
        assert worker.ended_by(signal.SIGINT) == 130
    eventually(lambda: bus.waiting("api.tasks.gated") == 1, "the task is back")


def test_the_tasks_of_a_killed_worker_are_answered_by_the_next(gated: Path, bus: Bus):
    with working(gated, bus, plugins=gated) as worker:
        task_id = bus.send("gated")
        begun(gated, task_id)
        worker.process.kill()
    (gated / "open").touch()
    with working(gated, bus, plugins=gated):
        assert bus.results(task_id).keys() == {task_id}


# --- blocked -------------------------------------------------------------------------------------------------


def test_a_plugin_that_blocks_is_ended_and_its_task_is_dead_after_three_more_tries(blocking: Path, bus: Bus):
    with working(blocking, bus, "--watchdog", "0", plugins=blocking) as worker:
        task_id = bus.send("blocking", how="sleep", timeout=0.1)
        assert worker.ended() == 70
        (line,) = [line for line in worker.log.splitlines() if "event_loop_blocked" in line]
        assert f"blocking {task_id}" in line
        assert "Blocking.detect" in line
    for _ in range(3):
        with working(blocking, bus, "--watchdog", "0", plugins=blocking) as worker:
            assert worker.ended() == 70
    (dead,) = bus.dead_letters()
    assert (dead["reason"], dead["queue"]) == ("delivery_limit", f"{bus.prefix}caldera.checking.api.tasks.blocking")
    assert bus.waiting("api.tasks.blocking") == 0


def test_the_tasks_beside_the_one_that_blocks_are_answered_in_the_end(blocking: Path, bus: Bus):
    with working(blocking, bus, plugins=blocking):
        pass  # the queue is there
    sent = [bus.send("blocking", how="sleep" if n == 2 else "wait", timeout=1) for n in range(5)]
    culprit = sent.pop(2)
    for _ in range(4):
        with working(blocking, bus, "--watchdog", "0", plugins=blocking, WORKER_JITTER_MAX=0.1) as worker:
            assert worker.ended() == 70
    assert bus.results(*sent).keys() == set(sent)
    assert len(bus.dead_letters()) == 1
    assert culprit in worker.log


def test_a_plugin_that_holds_the_interpreter_is_ended_too_and_the_stack_names_it(blocking: Path, bus: Bus):
    with working(blocking, bus, "--watchdog", "0", plugins=blocking) as worker:
        bus.send("blocking", how="match", timeout=0.1)
        assert worker.ended() == 1
        assert "in detect" in worker.log
    eventually(lambda: bus.waiting("api.tasks.blocking") == 1, "the task is back")


def test_a_slow_plugin_that_waits_is_never_ended(gated: Path, bus: Bus):
    """Four attempts, each to its time-out: the watchdog's limit passes again and again."""
    with working(gated, bus, "--watchdog", "0", plugins=gated, WORKER_MAX_RETRIES=3) as worker:
        task_id = bus.send("gated", timeout=1, delay=0)
        result = bus.results(task_id)[task_id]
        assert result["result_metadata"]["failed_attempts"] == ["no answer within 1 s"] * 3
        assert worker.process.poll() is None


# --- at the start --------------------------------------------------------------------------------------------


def test_a_wrong_password_is_one_line_and_code_2(tmp_path: Path, bus: Bus):
    place = urlsplit(bus.url).netloc.rpartition("@")[2]
    done = subprocess.run(
        [WORKER, "run"],
        cwd=tmp_path,
        env=environment(tmp_path, {"AMQP_URL": f"amqp://checking_worker:s3cret@{place}/"}),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "refuses user checking_worker" in line
    assert "s3cret" not in line
