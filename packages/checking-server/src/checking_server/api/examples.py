"""An example of what requests say and what is answered, for the description of the API: one story of one command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["EXAMPLES", "LINK_RESULT"]

_OPERATION = "464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11"
_LINK = "571fb0b5-6b1f-4d8e-8a2f-3a2d0a3c9b10"
_EXECUTION = "6a386f4a-0a2a-50ab-8d4e-9084f0ccd926"
_CHECK = "01939f5e-8f5c-7d3a-9a51-0a7d5d1c2e44"
_TOLD = "2026-11-20T19:28:40Z"
_STARTED = "2026-11-20T19:28:38Z"
_CONFIG = {"query": "index=security user=administrator"}
_COMMAND = {
    "link_id": _LINK,
    "agent_host": "ws01",
    "agent_paw": "tgtbbb",
    "command": "whoami",
    "pid": 4242,
    "status": 0,
    "link_state": "SUCCESS",
    "started_at_least": _STARTED,
    "agent_reported_time": "2026-11-20T19:28:39Z",
}

LINK_RESULT = {
    "message_type": "link_result",
    "timestamp": _TOLD,
    "operation": {"operation_id": _OPERATION, "name": "autumn"},
    "execution": {
        **_COMMAND,
        "detections": [
            {"detection_type": "api", "detection_platform": "splunk", "detection_config": _CONFIG},
        ],
    },
}
"""A message, as the bus carries it."""

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "WantedOperation": {"operation_id": _OPERATION, "name": "autumn", "operation_start": "2026-11-20T19:28:36Z"},
    "CorrectedOperation": {"name": "autumn, second try", "state": "finished"},
    "WantedExecution": {"operation_id": _OPERATION, "execution": _COMMAND, "timestamp": _TOLD},
    "CorrectedExecution": {"technique_id": "T1033", "tactic": "discovery"},
    "WantedCheck": {
        "execution_result_id": _EXECUTION,
        "detection_platform": "splunk",
        "detection_type": "api",
        "detection_config": _CONFIG,
    },
    "CorrectedCheck": {"status": "pending"},
    "WantedResult": {"detection_execution_id": _CHECK, "outcome": "alerted", "note": "seen in the console"},
    "WantedOverride": {"outcome": "no_alert", "note": "the alert was of another test on this host"},
    "CorrectedResult": {"note": "ticket 4711"},
    "WantedApiKey": {"name": "nightly job", "role": "operator", "scopes": ["ingest"]},
    "Operation": {
        "id": "01939f5e-4c1e-7a6b-8d0f-2f1f7c3b9a10",
        "operation_id": _OPERATION,
        "source": "caldera",
        "source_id": None,
        "name": "autumn",
        "operation_start": "2026-11-20T19:28:36Z",
        "state": "finished",
        "attack_version": None,
        "metadata": None,
        "created_at": _TOLD,
        "updated_at": _TOLD,
    },
    "Check": {
        "id": _CHECK,
        "execution_result_id": _EXECUTION,
        "operation_id": _OPERATION,
        "expectation_id": None,
        "detection_type": "api",
        "detection_platform": "splunk",
        "detection_config": _CONFIG,
        "expect": "alerted",
        "status": "completed",
        "outcome": "alerted",
        "look": 1,
        "dispatches": 1,
        "available_at": "2026-11-20T19:29:08Z",
        "deadline": "2026-11-20T19:43:39Z",
        "lease_until": None,
        "task_id": "5b0f0d0e-7a55-5c6f-8a55-0b8f8a1d2c33",
        "retry_count": 0,
        "max_retries": 3,
        "started_at": "2026-11-20T19:29:08Z",
        "completed_at": "2026-11-20T19:29:11Z",
        "execution_metadata": {"closed_by": "worker"},
        "created_at": _TOLD,
    },
    "Problem": {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no operation with this id",
        "status_code": 404,
        "instance": f"/api/v1/operations/{_OPERATION}",
        "errors": [],
        "request_id": "5f1d3a1c9f0e4e0f8f3d2b6a7c8d9e0f",
    },
}
"""By the name of their schema."""
