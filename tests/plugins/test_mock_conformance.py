"""The mock plugin keeps the rules of the kit, as far as a scenario instead of records can."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from checking_core import Ask, Prevention
from checking_core.matching.record import Alert, AnyRecord
from checking_core.testing import DetectorConformance, Relaxation, Stage, Trouble
from checking_plugin_mock.detector import MockDetector
from checking_plugin_mock.settings import MockSettings, Scene

FOUND = {Ask.ALERT: "alerted", Ask.RULE: "matched", Ask.TELEMETRY: "logged", Ask.ALIVE: "none"}
TROUBLES: dict[Trouble | None, dict[str, Any]] = {
    None: {},
    Trouble.AWAY: {"errors": 1_000_000},
    Trouble.REFUSES: {"answer": "fatal"},
    Trouble.HANGS: {"answer": "hang"},
    Trouble.PARTIAL: {"partial": True},
}


class MockStage(Stage):
    """One scene, rewritten each time."""

    def __init__(self) -> None:
        self.settings = MockSettings(scenario=())
        self.scene: dict[str, Any] = {}
        self.trouble: Trouble | None = None

    def detector(self, **options: Any) -> MockDetector:
        return MockDetector("mock", self.settings, **options)

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        missing = "silent" if ask is Ask.ALIVE else "none"
        blocked = any(isinstance(record, Alert) and record.prevention is Prevention.BLOCKED for record in records)
        answer = "blocked" if blocked else FOUND[ask] if records else missing
        self.scene = {"answer": answer, "padding": sum(len(str(record.fields)) for record in records)}
        self.rewrite()

    def suffer(self, trouble: Trouble | None) -> None:
        self.trouble = trouble
        self.rewrite()

    def rewrite(self) -> None:
        self.settings.scenario = (Scene.model_validate(self.scene | TROUBLES[self.trouble]),)


class TestMock(DetectorConformance):
    relaxed: ClassVar = {
        Relaxation.RECORDS: "a scenario says what was found; there is nothing to compare",
        Relaxation.RATE_LIMIT: "no scene limits its callers",
        Relaxation.GARBLED_ANSWER: "a scenario that cannot be read is refused at the start",
        Relaxation.PLACEHOLDERS: "it runs no query",
        Relaxation.SECRETS: "it has no credentials",
    }

    @pytest.fixture
    def stage(self) -> MockStage:
        return MockStage()
