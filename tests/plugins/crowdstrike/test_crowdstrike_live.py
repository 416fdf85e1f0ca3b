"""A real customer, where ``CHECKING_TEST_FALCON_CLIENT_ID`` and ``..._SECRET`` name a client; it is only read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from checking_core import Answer
from checking_core.settings import WorkerSettings
from checking_core.testing import a_task
from checking_core.worker.run_task import run_task
from checking_plugin_crowdstrike.detector import CrowdStrikeDetector
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

PREFIX = "CHECKING_TEST_FALCON_"
NOWHERE = "a-host-that-does-not-exist"

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(f"{PREFIX}CLIENT_ID" not in os.environ, reason=f"{PREFIX}CLIENT_ID names no API client"),
]


@pytest.fixture
async def detector() -> AsyncIterator[CrowdStrikeDetector]:
    made = CrowdStrikeDetector("crowdstrike", CrowdStrikeSettings(_env_prefix=PREFIX))
    yield made
    await made.close()


async def test_the_self_check_of_a_real_customer_is_well(detector: CrowdStrikeDetector) -> None:
    health = await detector.self_check()
    assert health.ok, health.detail


@pytest.mark.parametrize(
    "config",
    [
        {"alert": {"query": "device.hostname:${agent_host}"}},
        {"alert": {"query": "cmdline:'*${command}*'"}},
        {"alive": {"query": "hostname:${host_names}"}},
        {"alive": {"query": "hostname:~${agent_host}"}},
    ],
)
async def test_a_real_customer_understands_each_filter_and_answers_in_whole(
    detector: CrowdStrikeDetector, config: dict[str, Any]
) -> None:
    then = datetime.now(UTC) - timedelta(minutes=30)
    hostile = "a 'quoted' \\path\\ of * and (more), [even] + this"
    task = a_task(detection_config=config, agent_host=NOWHERE, command=hostile, started_at=then, finished_at=then)
    result = await run_task(detector, task, WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0))
    assert Answer.NO in (result.alert, result.alive), result.result_metadata
