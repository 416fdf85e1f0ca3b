"""A real search head, where ``CHECKING_TEST_SPLUNK_URL``, ``..._TOKEN`` and ``..._INDEX`` name one; it is only read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from checking_core import Answer, DetectionResult, Reason
from checking_core.settings import WorkerSettings
from checking_core.testing import a_task
from checking_core.worker.run_task import run_task
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.settings import SplunkSettings

PREFIX = "CHECKING_TEST_SPLUNK_"
HOSTILE = 'a-host " OR index=* | delete ` \\ ] | outputlookup x'

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(f"{PREFIX}URL" not in os.environ, reason=f"{PREFIX}URL names no search head"),
]


@pytest.fixture
async def detector() -> AsyncIterator[SplunkDetector]:
    made = SplunkDetector("splunk", SplunkSettings(_env_prefix=PREFIX))
    yield made
    await made.close()


async def asked(detector: SplunkDetector, query: str, host: str = "a-host-that-does-not-exist") -> DetectionResult:
    now = datetime.now(UTC)
    task = a_task(
        detection_config={"telemetry": {"query": query}},
        agent_host=host,
        started_at=now - timedelta(minutes=30),
        finished_at=now - timedelta(minutes=30),
    )
    return await run_task(detector, task, WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0))


async def test_the_self_check_of_a_real_search_head_is_well(detector: SplunkDetector) -> None:
    health = await detector.self_check()
    assert health.ok, health.detail


@pytest.mark.parametrize("host", ["a-host-that-does-not-exist", HOSTILE])
@pytest.mark.parametrize(
    "query",
    ["host=${agent_host}", "* | where host=${agent_host}", "host IN ${host_names}", "* | where host IN ${host_names}"],
)
async def test_a_real_search_head_understands_each_form_of_a_value(
    detector: SplunkDetector, query: str, host: str
) -> None:
    result = await asked(detector, query, host)
    assert result.telemetry is Answer.NO, result.result_metadata


async def test_a_real_search_head_tells_an_index_that_is_not_there(detector: SplunkDetector) -> None:
    result = await asked(detector, "index=an_index_that_does_not_exist")
    assert result.reason is Reason.QUERY_INVALID, result.result_metadata
