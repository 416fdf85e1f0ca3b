"""Messages of a red team's tool, as many as a test needs, each with one check of the mock backend."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OPERATION = "10000000-0000-4000-8000-000000000001"
LONG_AGO = datetime(2026, 1, 15, 9, 0, 2, tzinfo=UTC)


def message(number: int = 1, *, ended: datetime = LONG_AGO, **config: Any) -> str:
    """One finished execution; ``config`` is added to what its check asks."""
    asked = {"alert": {"rule": "any"}, "settle": 0, **config}
    told = {
        "message_type": "link_result",
        "timestamp": ended.isoformat(),
        "operation": {"operation_id": OPERATION, "name": "bundle", "state": "finished"},
        "execution": {
            "link_id": f"20000000-0000-4000-8000-{number:012}",
            "agent_host": "ws01",
            "agent_paw": "paw",
            "command": f"whoami {number}",
            "status": 0,
            "link_state": "SUCCESS",
            "collect": ended.isoformat(),
            "finish": ended.isoformat(),
            "detections": [{"detection_type": "api", "detection_platform": "mock", "detection_config": asked}],
        },
    }
    return json.dumps(told) + "\n"


def write_bundle(folder: Path, count: int, **config: Any) -> Path:
    """A file of messages, each of an execution of its own."""
    file = folder / "bundle.jsonl"
    file.write_text("".join(message(number, **config) for number in range(count)))
    return file


def write_scenario(folder: Path, answer: str) -> Path:
    """What the mock backend answers to everything: give it as ``MOCK_SCENARIO``."""
    file = folder / f"{answer}.yml"
    file.write_text(f"- {{answer: {answer}}}\n")
    return file
