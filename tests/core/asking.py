"""One task asked and answered, for the tests of what lies between."""

from __future__ import annotations

from typing import Any

from checking_core.contracts import MAX_BODY, DetectionResult, decode_result, encode
from checking_core.settings import WorkerSettings
from checking_core.testing import FakeDetector, a_task
from checking_core.worker.run_task import run_task

SETTINGS = WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0, retry_delay=0)


async def result_of(*script: Any, detector: FakeDetector | None = None, **task: Any) -> DetectionResult:
    """The result of one task, as the server reads it."""
    result = await run_task(detector or FakeDetector(script), a_task(**task), SETTINGS)
    body = encode(result)
    assert len(body) <= MAX_BODY
    return decode_result(body)
