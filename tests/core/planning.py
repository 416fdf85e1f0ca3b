"""Executions and expectations for the tests of planning: plain ones, changed where the test says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import UUID

from checking_core.contracts import (
    Clock,
    ExecutionFacts,
    Hint,
    LinkState,
    OperationFacts,
    PlannedCheck,
    Procedure,
    RunState,
)
from checking_core.expectations import Expectations, load, plan
from checking_core.settings import BackendSettings, HintsMode

OPERATION = OperationFacts(
    operation_id=UUID("464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11"), source="caldera", name="Nightly run 7"
)
DUMP = Procedure(
    id="0ef4cc7b-611c-4237-b20b-db36b6906554",
    name="Dump LSASS.exe Memory using comsvcs.dll",
    tactic="credential-access",
    technique_id="T1003.001",
)


def execution(**changes: Any) -> ExecutionFacts:
    """A LSASS dump on a Windows host that ran."""
    facts: dict[str, Any] = {
        "link_id": UUID("571fb0b5-7d38-4f4f-8a36-1c6ab5f0d2c3"),
        "agent_host": "WS01.corp.example",
        "agent_paw": "tgtbbb",
        "command": "powershell -enc cgB1AG4A",
        "plaintext_command": "rundll32.exe comsvcs.dll MiniDump 624 out.dmp full",
        "platform": "windows",
        "link_state": LinkState.SUCCESS,
        "run_state": RunState.RAN,
        "procedure": DUMP,
        "started_at": datetime(2026, 11, 20, 19, 28, 38, tzinfo=UTC),
        "clock": Clock.SERVER,
    }
    return ExecutionFacts(**(facts | changes))


def hint(query: str = "index=security", **changes: Any) -> Hint:
    """A hint that can be asked, of ``splunk``."""
    told: dict[str, Any] = {"detection_type": "api", "platform": "splunk", "config": {"query": query}}
    return Hint(**(told | changes))


def written(folder: Path, text: str, name: str = "expectations.yml") -> Path:
    """A file with this text, its indentation removed."""
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str, **options: Any) -> Expectations:
    """What a file with this text gives."""
    return load([written(folder, text)], **options)


def planned(
    expectations: Expectations, facts: ExecutionFacts | None = None, **changes: Any
) -> tuple[PlannedCheck, ...]:
    """The checks of an execution where ``splunk``, ``elastic`` and the agent backend ``sysmon`` are configured."""
    options: dict[str, Any] = {
        "backends": {
            "splunk": BackendSettings(plugin="mock"),
            "elastic": BackendSettings(plugin="mock"),
            "sysmon": BackendSettings(plugin="mock", detection_type="windows"),
        },
        "hints": HintsMode.FALLBACK,
        "default_backend": None,
        "max_retries": 1,
    }
    return plan(facts or execution(), OPERATION, expectations, **(options | changes))
