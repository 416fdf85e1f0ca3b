"""A real cluster, where ``CHECKING_TEST_ELASTIC_URL``, ``..._API_KEY`` and ``..._INDEX`` name one; it is only read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from checking_core import Answer, DetectionResult
from checking_core.settings import WorkerSettings
from checking_core.testing import a_task
from checking_core.worker.run_task import run_task
from checking_plugin_elastic.detector import ElasticDetector
from checking_plugin_elastic.settings import ElasticSettings

PREFIX = "CHECKING_TEST_ELASTIC_"
NOWHERE = "a-host-that-does-not-exist"

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(f"{PREFIX}URL" not in os.environ, reason=f"{PREFIX}URL names no cluster"),
]


@pytest.fixture
async def detector() -> AsyncIterator[ElasticDetector]:
    made = ElasticDetector("elastic", ElasticSettings(_env_prefix=PREFIX))
    yield made
    await made.close()


async def asked(detector: ElasticDetector, language: str, query: str) -> DetectionResult:
    now = datetime.now(UTC)
    task = a_task(
        detection_config={"telemetry": {"language": language, "query": query}},
        agent_host=NOWHERE,
        started_at=now - timedelta(minutes=30),
        finished_at=now - timedelta(minutes=30),
    )
    return await run_task(detector, task, WorkerSettings(jitter_min=0, jitter_max=0, max_retries=0))


async def test_the_self_check_of_a_real_cluster_is_well(detector: ElasticDetector) -> None:
    health = await detector.self_check()
    assert health.ok, health.detail


@pytest.mark.parametrize(
    ("language", "query"),
    [
        ("lucene", "host.name: ${agent_host}"),
        ("dsl", '{"term": {"host.name": ${agent_host}}}'),
        ("eql", "any where host.name == ${agent_host}"),
        ("esql", "WHERE host.name == ${agent_host}"),
    ],
)
async def test_a_real_cluster_understands_each_language_and_answers_in_whole(
    detector: ElasticDetector, language: str, query: str
) -> None:
    result = await asked(detector, language, query)
    assert result.telemetry is Answer.NO, result.result_metadata
