"""Rules and telemetry in a folder, a detector over them, and a question to it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from checking_core.contracts import DetectionResult, canonical_config
from checking_core.settings import WorkerSettings
from checking_core.testing import ENDED, STARTED, a_task
from checking_core.worker.run_task import run_task
from checking_plugin_sigma.detector import SigmaDetector
from checking_plugin_sigma.settings import SigmaSettings

from .rules_and_events import rule_text

WORKER = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)
SYSMON, SECURITY = "Microsoft-Windows-Sysmon/Operational", "Security"
COMMAND = "rundll32.exe comsvcs.dll MiniDump 624 out.dmp full"
CREATION = {"product": "windows", "category": "process_creation"}
LSASS = rule_text({"CommandLine|contains": "MiniDump"}, title="LSASS dump", logsource=CREATION)


def start(seconds: float = 0, **fields: Any) -> dict[str, Any]:
    """The start of the execution's process, so many seconds after the execution's."""
    moment = (STARTED + timedelta(seconds=seconds)).astimezone(UTC).replace(tzinfo=None)
    return {
        "Channel": SYSMON,
        "EventID": 1,
        "Computer": "WS01.corp.example",
        "UtcTime": moment.isoformat(sep=" ", timespec="milliseconds"),
        "Image": r"C:\Windows\System32\rundll32.exe",
        "CommandLine": COMMAND,
        "ProcessId": 4242,
        "User": r"CORP\eve",
    } | fields


class Site:
    """Rules and telemetry in a folder, and a detector over them."""

    def __init__(self, folder: Path) -> None:
        self.rules, self.log = folder / "rules", folder / "log.jsonl"
        self.rules.mkdir()
        self.cache = folder / "cache"
        self.log.touch()
        self.rule(LSASS, "lsass.yml")

    def rule(self, text: str, name: str) -> None:
        (self.rules / name).write_text(text, encoding="utf-8")

    def write(self, *events: dict[str, Any]) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in events)

    def detector(self, **settings: Any) -> SigmaDetector:
        told = {"events": (str(self.log),), "rules": self.rules, "cache": self.cache} | settings
        return SigmaDetector("sigma", SigmaSettings(**told))


async def ask(detector: SigmaDetector, *, now: datetime | None = None, **task: Any) -> DetectionResult:
    detector.clock = lambda: now or ENDED + timedelta(seconds=1300)
    config = canonical_config(task.pop("detection_config", {"sigma": "lsass.yml"}))
    found = await run_task(detector, a_task(detection_config=config, **task), WORKER)
    await detector.close()
    return found


def evidence_of(result: DetectionResult):
    (record,) = result.parsed_results.evidence
    return record
