"""The message that benchmarks send: a link_result of about 1.2 kB with one check."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec

OPERATION = UUID("5f0f3a58-92a6-4b0c-8d6e-1c1c3f0a7b10")

ENDED = datetime(2026, 1, 15, 9, 0, 2, tzinfo=UTC)


def link_result(number: int, backend: str, config: dict[str, Any], ended: datetime = ENDED) -> bytes:
    """One of a numbered series; the same number is the same link.

    Unless ``ended`` says otherwise it ended so long ago that its check is due at once.
    """
    started = ended - timedelta(seconds=2)
    return msgspec.json.encode(
        {
            "message_type": "link_result",
            "timestamp": ended,
            "operation": {"name": "bench", "operation_id": str(OPERATION), "operation_start": "2026-01-15T09:00:00Z"},
            "execution": {
                "link_id": str(uuid5(OPERATION, str(number))),
                "agent_host": f"ws{number % 50:02}.corp.example",
                "agent_paw": "bench",
                "command": f"rundll32.exe C:\\Windows\\System32\\comsvcs.dll, MiniDump {number} C:\\l.dmp full",
                "pid": 4000 + number % 1000,
                "status": 0,
                "link_state": "SUCCESS",
                "collect": started,
                "finish": ended,
                "executor": "cmd",
                "platform": "windows",
                "ability": {
                    "ability_id": "bench",
                    "name": "Dump",
                    "tactic": "credential-access",
                    "technique_id": "T1003",
                },
                "result_data": {"stdout": "x" * 400, "stderr": "", "exit_code": "0"},
                "detections": [
                    {"detection_type": "api", "detection_platform": backend, "detection_config": config},
                ],
            },
        }
    )
