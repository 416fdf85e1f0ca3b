"""Wire messages for the tests of the contracts: a plain one, changed where the test says so."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from checking_core.contracts import ExecutionFacts, LinkMessage, decode_link_message

RECEIVED = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
OPERATION_ID = "464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11"
LINK_ID = "571fb0b5-7d38-4f4f-8a36-1c6ab5f0d2c3"
GONE = object()
"""Take the field out."""


def link_result(*, operation: dict[str, Any] | None = None, **execution: Any) -> dict[str, Any]:
    """A complete ``link_result``; keywords change fields of the execution, ``GONE`` removes one."""
    message = {
        "timestamp": "2026-11-20T19:28:40.116489+00:00",
        "message_type": "link_result",
        "operation": {"name": "op", "operation_id": OPERATION_ID, "operation_start": "2026-11-20T19:28:36+00:00"},
        "execution": {
            "link_id": LINK_ID,
            "agent_host": "ws01",
            "agent_paw": "tgtbbb",
            "command": "whoami",
            "pid": 22,
            "status": 0,
            "link_state": "SUCCESS",
            "result_data": {"stdout": "administrator", "stderr": "", "exit_code": "0"},
            "collect": "2026-11-20T19:28:38.250000+00:00",
            "finish": "2026-11-20T19:28:39Z",
        },
    }
    message["operation"] = _changed(message["operation"], operation or {})
    message["execution"] = _changed(message["execution"], execution)
    return message


def read(message: Any) -> LinkMessage:
    """The message as the engine reads it; text and bytes go in as they are."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return decode_link_message(body, received_at=RECEIVED)


def execution_of(message: Any) -> ExecutionFacts:
    """The execution of the message as the engine reads it."""
    execution = read(message).execution
    assert execution is not None
    return execution


def _changed(fields: Any, changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**fields, **changes}.items() if value is not GONE}
