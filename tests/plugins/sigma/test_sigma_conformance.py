"""The rules of every detector, over a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from checking_core.contracts import Ask
from checking_core.matching.record import AnyRecord
from checking_core.plugin.base import BaseWorker
from checking_core.testing import STARTED, DetectorConformance, Relaxation, Stage
from checking_core.testing.detector_conformance import Trouble
from checking_plugin_sigma.detector import SigmaDetector
from checking_plugin_sigma.settings import SigmaSettings

from .rules_and_events import rule_text


class Named(SigmaDetector):
    """Its records have the names that the kit gives them."""

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        found = super().normalise(record)
        return msgspec.structs.replace(found, id=record["hashes"])


class FileStage(Stage):
    """A log file that is put in place anew, with what one host reports anyway."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log.jsonl"
        self.show(Ask.RULE)

    def detector(self, **options: Any) -> BaseWorker:
        return Named("sigma", self.settings(), **options)

    def settings(self) -> SigmaSettings:
        rules = self.folder / "rules"
        rules.mkdir(exist_ok=True)
        (rules / "rule.yml").write_text(rule_text({"A": "x"}))
        return SigmaSettings(events=(str(self.log),), rules=rules, cache=self.folder / "cache")

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        quiet = {"Channel": "x", "EventID": 1, "Computer": "ws01", "UtcTime": written(STARTED)}
        events = [quiet, {**quiet, "UtcTime": written(STARTED + timedelta(minutes=14))}, *map(event_of, records)]
        self.put(b"".join(msgspec.json.encode(event) + b"\n" for event in events))

    def suffer(self, trouble: Trouble | None) -> None:
        away = self.folder / "away.jsonl"
        if trouble is Trouble.GARBLED:
            self.put(b"\x1f\x8bnonsense")
        elif trouble is not None:
            self.log.rename(away)
        elif away.exists():
            away.rename(self.log)

    def put(self, body: bytes) -> None:
        new = self.folder / "new"
        new.write_bytes(body)
        new.rename(self.log)


def event_of(record: AnyRecord) -> dict[str, Any]:
    return {
        "Channel": "x",
        "EventID": 1,
        "Computer": record.hosts[0] if record.hosts else None,
        "UtcTime": written(record.event_at) if record.event_at else None,
        "CommandLine": record.commands[0] if record.commands else None,
        "ProcessId": record.pid,
        "Hashes": record.id,
        "About": f"MiniDump {record.title}",
        **record.fields,
    }


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


class TestSigma(DetectorConformance):
    query = "'MiniDump'"
    query_with_placeholder = "{CommandLine: ${command}}"
    relaxed: ClassVar = {
        Relaxation.CREDENTIALS: "a file has none",
        Relaxation.SECRETS: "a file has none",
        Relaxation.RATE_LIMIT: "a file has none",
        Relaxation.TIME_OUT: "reading a file ends",
        Relaxation.PARTIAL_ANSWER: "a file is there or not",
        Relaxation.PAGES: "a file has none",
        Relaxation.ENTRY_POINT: "the kit's names of records need a class of their own",
    }

    @pytest.fixture
    def stage(self, tmp_path: Path) -> FileStage:
        return FileStage(tmp_path)
