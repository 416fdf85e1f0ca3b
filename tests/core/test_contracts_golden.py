"""Golden messages of each version: read today and for ever as they were read when they were written.

Each file holds a message as it stands on the wire and its canonical form. A file is never changed to please the code:
stored rows, queues and workers of other releases depend on it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checking_core.contracts import (
    Clock,
    DetectionResult,
    DetectionTask,
    ExecutionFacts,
    LinkMessage,
    MessageType,
    RunState,
    decode_link_message,
    decode_result,
    decode_task,
    encode,
)

GOLDEN = sorted((Path(__file__).parent / "golden" / "v1").glob("*.json"))
RECEIVED = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
READERS: dict[str, Any] = {
    "link": lambda body: decode_link_message(body, received_at=RECEIVED),
    "task": decode_task,
    "result": decode_result,
}


def golden(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["kind"], stored["wire"], stored["read"]


def by_name(name: str) -> dict[str, Any]:
    return next(golden(path)[1] for path in GOLDEN if path.stem == name)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_message_is_read_as_ever(path: Path):
    kind, wire, read = golden(path)
    found = json.loads(encode(READERS[kind](json.dumps(wire).encode())))
    found.pop("raw", None)
    assert found == read


def test_every_kind_of_message_has_a_golden_one():
    assert {path.stem for path in GOLDEN} == {
        *("link_result", "link_result_original", "link_status", "operation_state"),
        *("task", "task_original"),
        *("result", "result_original", "result_original_failed", "result_original_unsupported"),
    }


@pytest.mark.parametrize("name", ["task", "result"])
def test_what_we_write_stands_on_the_wire_as_ever(name: str):
    wire = by_name(name)
    assert json.loads(encode(READERS[name](json.dumps(wire).encode()))) == wire


@pytest.mark.parametrize(("name", "kind"), [("task", DetectionTask), ("result", DetectionResult)])
def test_the_golden_message_has_every_field_we_write(name: str, kind: type[msgspec.Struct]):
    assert by_name(name).keys() == set(kind.__struct_fields__)


def test_a_worker_of_the_original_system_finds_what_it_reads():
    task = json.loads(encode(decode_task(json.dumps(by_name("task")).encode())))
    assert task.keys() >= {
        *("task_id", "detection_execution_id", "operation_id", "detection_type", "detection_platform"),
        *("detection_config", "created_at", "execution_context", "max_retries", "metadata"),
    }
    context, metadata = task["execution_context"], task["metadata"]
    assert context.keys() >= {"agent_host", "agent_paw", "agent_reported_time", "started_at_least"}
    assert metadata.keys() == {"worker_type", "priority", "target_queue"}
    assert all(datetime.fromisoformat(context[time]) for time in ("agent_reported_time", "started_at_least"))


# --- recorded from real servers ------------------------------------------------------------------------------


def recorded(shared_data: Path, folder: str) -> list[LinkMessage]:
    lines = (shared_data / "caldera" / folder / "plugin_messages.jsonl").read_bytes().splitlines()
    return [decode_link_message(line, received_at=RECEIVED) for line in lines]


def executions(messages: list[LinkMessage]) -> list[ExecutionFacts]:
    return [message.execution for message in messages if message.execution is not None]


def test_a_recorded_operation_is_read(shared_data: Path):
    messages = recorded(shared_data, "operation_A")
    assert [message.message_type for message in messages].count(MessageType.LINK_RESULT) == 9
    assert messages[-1].operation.state == "finished"
    assert len({message.operation.operation_id for message in messages}) == 1
    ran = executions(messages)
    assert {execution.run_state for execution in ran} == {RunState.RAN}
    assert {execution.clock for execution in ran} == {Clock.SERVER}
    assert [execution.cleanup for execution in ran] == [False] * 8 + [True]
    assert all(execution.finished_at and execution.started_at <= execution.finished_at for execution in ran)
    assert [execution.result_data is None for execution in ran] == [False] * 8 + [True]
    assert ran[0].result_data == {"stdout": "user\n", "stderr": "", "exit_code": "0"}
    hinted = [execution.hints for execution in ran if execution.hints]
    assert len(hinted) == 2
    assert all(
        (hint.detection_type, hint.platform, hint.config, hint.problem) == ("api", None, {"query": "user:root"}, None)
        for hints in hinted
        for hint in hints
    )


def test_the_recorded_edge_cases_are_read(shared_data: Path):
    messages = recorded(shared_data, "edge_cases")
    repeated = [execution for execution in executions(messages) if str(execution.link_id).startswith("ec5f9465")]
    assert [execution.run_state for execution in repeated] == [RunState.RAN, RunState.RAN, RunState.FAILED]
    assert repeated[0].finished_at != repeated[1].finished_at
    (discarded,) = [execution for execution in executions(messages) if execution.run_state is RunState.NEVER_RAN]
    assert (discarded.command, discarded.status, discarded.pid) == ("uname -s", -2, None)
    kinds = [message.message_type for message in messages]
    assert kinds.index(MessageType.OPERATION_STATE) < len(kinds) - 1 - kinds[::-1].index(MessageType.LINK_RESULT)


def test_a_recorded_message_is_kept_as_it_came(shared_data: Path):
    for folder in ("operation_A", "edge_cases"):
        lines = (shared_data / "caldera" / folder / "plugin_messages.jsonl").read_text("utf-8").splitlines()
        assert [message.raw for message in recorded(shared_data, folder)] == lines
