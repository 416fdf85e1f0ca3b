"""Tasks of a server of the original system: our worker answers them, in a way that server can read."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from checking_core.contracts import Ask
from checking_core.plugin import BaseWorker
from checking_core.settings import WorkerSettings
from checking_core.testing import FakeDetector
from checking_core.transport import HEADER_REQUEST_ID, Message, Outgoing, Topology
from checking_core.transport.memory import MemoryTransport
from checking_core.worker.loop import Worker
from checking_plugin_mock.detector import MockDetector
from checking_plugin_mock.settings import MockSettings

TASK = json.loads((Path(__file__).parent / "golden" / "v1" / "task_original.json").read_text(encoding="utf-8"))["wire"]
TOPOLOGY = Topology(shared_backends=frozenset({"apitest"}))
SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0)


def original(**config: Any) -> dict[str, Any]:
    """The task as that server sends it, with these keys added to its ``detection_config``."""
    return {**TASK, "detection_config": {**TASK["detection_config"], **config}}


def mock() -> BaseWorker:
    return MockDetector("apitest", MockSettings(scenario=()))


async def answered(task: dict[str, Any], detector: BaseWorker | None = None) -> dict[str, Any]:
    """The result that stands on the queue where the original server reads."""
    transport, stop = MemoryTransport(TOPOLOGY), asyncio.Event()
    await transport.start()
    worker = Worker(transport, TOPOLOGY, {"apitest": detector or mock()}, SETTINGS)
    running = asyncio.create_task(worker.run(stop))
    message = Message(body=json.dumps(task).encode(), message_id="", headers={HEADER_REQUEST_ID: "r-1"})
    assert await transport.publish([Outgoing("checking.api.task", message)]) == [None]
    responses = await transport.subscribe("caldera.checking.api.responses", prefetch=1)
    (delivery,) = await responses.batch(1, 0.0)
    await responses.ack([delivery])
    stop.set()
    await running
    await transport.close()
    assert delivery.message.headers == {HEADER_REQUEST_ID: "r-1"}
    result: dict[str, Any] = json.loads(delivery.message.body)
    return result


@pytest.mark.parametrize(
    ("reply", "detected", "status"),
    [
        ("matched", True, "completed"),
        ("none", False, "completed"),
        ("fatal", None, "failed"),
        ("silent", None, "failed"),
    ],
)
async def test_a_bare_query_is_asked_as_a_rule_and_answered_in_the_original_terms(
    reply: str, detected: bool | None, status: str
):
    result = await answered(original(mock={"answer": reply}))
    assert (result["detected"], result["status"]) == (detected, status)
    assert (result["id"], result["detection_execution_id"]) == (TASK["task_id"], TASK["detection_execution_id"])


async def test_a_result_has_every_field_that_the_original_server_reads_in_its_form():
    result = await answered(original(mock={"answer": "matched"}))
    assert isinstance(result["raw_response"], dict)
    assert isinstance(result["parsed_results"], dict)
    assert isinstance(result["result_metadata"], dict)
    assert result["result_source"] == "apitest"
    assert result["retry_count"] == 0
    assert datetime.fromisoformat(result["started_at"]) <= datetime.fromisoformat(result["result_timestamp"])


async def test_a_failed_look_says_why_where_the_original_server_looks_for_it():
    result = await answered(original(mock={"answer": "fatal"}))
    assert "wrong password" in result["result_metadata"]["error"]


async def test_a_detector_is_asked_the_question_in_the_form_of_today():
    detector = FakeDetector(backend="apitest")
    detector.answers = frozenset({Ask.RULE})
    await answered(original(query_language="spl"), detector)
    assert [task.detection_config["rule"] for task in detector.asked] == [{"query": "whoami", "language": "spl"}]


async def test_a_task_for_a_backend_of_somebody_else_on_the_shared_queue_is_answered_as_unsupported():
    result = await answered({**original(), "detection_platform": "elastic"})
    assert (result["detected"], result["status"]) == (None, "failed")
    assert "nothing here serves api of elastic" in result["result_metadata"]["error"]
