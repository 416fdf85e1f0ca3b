"""What a backend answered is recorded without its secrets and played back without the backend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import respx
from pydantic import SecretStr
from tests.core.http_product import HttpDetector, HttpSettings, HttpStage
from tests.core.memory_product import Clock, MemoryDetector

from checking_core import (
    Alert,
    Answer,
    Ask,
    BackendRateLimitedError,
    DetectionError,
    FatalDetectionError,
    Finding,
    Rule,
    SearchAnswer,
)
from checking_core.testing import ENDED, RETRY_AFTER, STARTED, KitClock, Trouble, a_task, record, replay

ALERT = Alert(
    id="alert-1",
    hosts=("ws01",),
    rule="LSASS dump",
    severity="high",
    pid=4242,
    event_at=STARTED,
    created_at=ENDED + timedelta(seconds=30),
    fields={"url": "https://bob:hunter2@siem.example/1?token=abc", "api_key": "k-123", "echo": HttpStage.secret},
)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "lsass.jsonl"


@pytest.fixture
def stage(tape: Path) -> Iterator[HttpStage]:
    with respx.mock(assert_all_called=False) as router:
        yield HttpStage(router, record(HttpDetector, tape))


@pytest.fixture
def clock() -> KitClock:
    return KitClock()


def text_on(tape: Path) -> str:
    return tape.read_text(encoding="utf-8")


async def ask(detector: HttpDetector, **task: Any) -> Finding:
    detector.clock.now += timedelta(minutes=1)
    await detector.start()
    try:
        return await detector.detect(a_task(created_at=detector.clock.now, **task))
    finally:
        await detector.close()


async def test_a_replay_finds_what_the_recording_found_and_reaches_nobody(
    stage: HttpStage, tape: Path, clock: KitClock
) -> None:
    stage.show(Ask.ALERT, ALERT)
    recorded = await ask(stage.detector(clock=clock))
    asked = stage.asked
    replayed = await ask(replay(HttpDetector, tape)("http", HttpSettings(), clock=clock))
    assert (recorded.alert, stage.asked) == (Answer.YES, asked)
    assert (replayed.alert, replayed.alert_at, replayed.match_tier) == (
        recorded.alert,
        recorded.alert_at,
        recorded.match_tier,
    )


async def test_no_secret_gets_onto_the_tape(stage: HttpStage, tape: Path, clock: KitClock) -> None:
    stage.show(Ask.ALERT, ALERT)
    await ask(stage.detector(clock=clock))
    stage.suffer(Trouble.REFUSES)
    with pytest.raises(DetectionError):
        await ask(stage.detector(clock=clock))
    text = text_on(tape)
    assert "LSASS dump" in text
    assert not [secret for secret in ("hunter2", "abc", "k-123", stage.secret) if secret in text]


async def test_answers_come_in_the_order_of_the_recording_the_last_again_and_again(
    stage: HttpStage, tape: Path, clock: KitClock
) -> None:
    detector = stage.detector(clock=clock)
    await ask(detector)
    stage.show(Ask.ALERT, ALERT)
    await ask(detector)
    replaying = replay(HttpDetector, tape)("http", HttpSettings(), clock=clock)
    assert [(await ask(replaying)).alert for _ in range(3)] == [Answer.NO, Answer.YES, Answer.YES]


async def test_an_error_is_played_back_as_it_was(stage: HttpStage, tape: Path, clock: KitClock) -> None:
    stage.suffer(Trouble.LIMITS)
    with pytest.raises(BackendRateLimitedError):
        await ask(stage.detector(clock=clock))
    with pytest.raises(BackendRateLimitedError, match="429") as again:
        await ask(replay(HttpDetector, tape)("http", HttpSettings(), clock=clock))
    assert again.value.retry_after == RETRY_AFTER


async def test_a_question_that_was_not_recorded_is_an_error_and_never_a_no(
    stage: HttpStage, tape: Path, clock: KitClock
) -> None:
    await ask(stage.detector(clock=clock))
    replaying = replay(HttpDetector, tape)("http", HttpSettings(), clock=clock)
    with pytest.raises(FatalDetectionError, match=r"lsass\.jsonl has no answer to .*other"):
        await ask(replaying, detection_config={"telemetry": {"query": "other"}})


async def test_names_and_rules_are_played_back_too(tape: Path) -> None:
    class Known(MemoryDetector):
        aliases = ("aid-77",)
        known_rules = (Rule(id="1", name="LSASS dump", enabled=False),)

    class Away(MemoryDetector):
        async def search(self, request: Any) -> SearchAnswer:
            raise AssertionError("a replay asks nobody")

    recorded = await record(Known, tape)(clock=Clock()).look(Ask.ALERT)
    replayed = await replay(Away, tape)(clock=Clock()).look(Ask.ALERT)
    assert (replayed.alert, replayed.reason) == (recorded.alert, recorded.reason) == (Answer.NO, "rule_disabled")


async def test_a_tape_is_lines_of_json_that_a_person_can_read(stage: HttpStage, tape: Path, clock: KitClock) -> None:
    stage.show(Ask.ALERT, ALERT)
    await ask(stage.detector(clock=clock))
    lines = [json.loads(line) for line in text_on(tape).splitlines()]
    assert {next(iter(line["question"])) for line in lines} == {"search"}


def test_a_recording_detector_keeps_its_name_and_settings(tape: Path) -> None:
    kind = record(HttpDetector, tape)
    assert (kind.platform, kind.Settings, kind.__name__) == ("http-product", HttpSettings, "RecordingHttpDetector")
    assert isinstance(kind("http", HttpSettings(token=SecretStr("x"))), HttpDetector)
