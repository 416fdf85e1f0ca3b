"""What Prometheus reads is what happened: requests, looks, tasks, batches, leases, and what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from checking_core.contracts import Reason
from checking_core.errors import ConfigurationError
from checking_core.storage import Store
from checking_core.testing import a_result
from checking_server.kept import Kept
from checking_server.metrics import Metrics

from .api_client import NOBODY_LISTENS, client_of
from .conftest import an_answer, taken

METRICS = "/api/v1/metrics"
OPERATION = "10000000-0000-4000-8000-000000000001"


def value(text: bytes | str, name: str, **labels: str) -> float | None:
    """One sample of what Prometheus would read."""
    text = text.decode() if isinstance(text, bytes) else text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = [sample.value for sample in samples if sample.name == name and _has(sample.labels, labels)]
    return found[0] if found else None


def _has(told: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(told.get(name) == word for name, word in wanted.items())


def test_a_look_is_counted_with_its_time_its_retries_and_why() -> None:
    metrics = Metrics()
    result = a_result(reason=Reason.MATCHED_RULE, retry_count=2)
    metrics.look("siem", result)
    text = metrics.text()
    about = {"backend": "siem", "outcome": str(result.outcome), "reason": "matched_rule"}
    assert value(text, "checking_looks_total", **about) == 1
    assert value(text, "checking_look_retries_total", backend="siem") == 2


def test_names_that_a_sender_makes_up_are_told_as_one() -> None:
    metrics = Metrics()
    for number in range(150):
        metrics.task(f"backend-{number}", sent=True)
    text = metrics.text()
    assert value(text, "checking_tasks_sent_total", backend="backend-99") == 1
    assert value(text, "checking_tasks_sent_total", backend="backend-100") is None
    assert value(text, "checking_tasks_sent_total", backend="other") == 50


def test_a_port_that_is_taken_is_told_with_its_setting(unused_tcp_port: int) -> None:
    with (
        Metrics().shown("127.0.0.1", unused_tcp_port),
        pytest.raises(ConfigurationError, match="CHECKING_METRICS_PORT"),
        Metrics().shown("127.0.0.1", unused_tcp_port),
    ):
        pass


def test_a_port_of_its_own_shows_the_same_and_is_free_afterwards(unused_tcp_port: int) -> None:
    metrics = Metrics()
    metrics.leases("lost", 3)
    url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
    for _ in range(2):
        with metrics.shown("127.0.0.1", unused_tcp_port):
            assert value(httpx.get(url).text, "checking_leases_expired_total", fate="lost") == 3


async def test_requests_are_counted_by_their_pattern_never_by_their_path(store: Any) -> None:
    async with client_of(store) as client:
        for number in range(3):
            await client.get(f"/api/v1/operations/{OPERATION[:-1]}{number}")
            await client.get(f"/made/up/{number}")
        text = (await client.get(METRICS)).text
    about = {"method": "GET", "status": "404"}
    assert value(text, "checking_http_requests_total", route="/api/v1/operations/{key}", **about) == 3
    assert value(text, "checking_http_requests_total", route="", **about) == 3
    assert value(text, "checking_http_request_duration_seconds_count", route="/api/v1/operations/{key}") == 3
    assert "made" not in text


async def test_what_is_stored_is_told_as_it_is(stations: Any, link: Callable[..., bytes]) -> None:
    siem = await stations.serve("siem")
    await stations.accepts(link(1), link(2))
    await stations.dispatch()
    first, _ = await taken(siem)
    await stations.gathers(an_answer(first))
    async with client_of(stations.store, stations.transport, queues=[stations.topology.instructions_queue]) as client:
        answer = await client.get(METRICS)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.text
    assert value(text, "checking_checks", backend="siem", status="completed", outcome="alerted") == 1
    assert value(text, "checking_checks", backend="siem", status="dispatched", outcome="pending") == 1
    assert value(text, "checking_results", outcome="alerted") == 1
    assert value(text, "checking_dead_letters") == 0
    assert value(text, "checking_up", part="db") == value(text, "checking_up", part="broker") == 1
    assert value(text, "checking_queue_messages", queue=stations.topology.instructions_queue) == 0


async def test_with_the_store_away_the_counters_of_the_process_are_told_all_the_same() -> None:
    async with Store(NOBODY_LISTENS) as store, client_of(store) as client:
        await client.get("/api/v1/operations")
        answer = await client.get(METRICS)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert value(answer.text, "checking_up", part="db") == 0
    assert value(answer.text, "checking_http_requests_total", route="/api/v1/operations", status="503") == 1


async def test_a_store_that_is_away_is_told_at_once_though_its_counts_are_dear_and_known() -> None:
    async def dear() -> tuple[None, list[Any]]:
        await asyncio.sleep(0.01)
        return None, []

    kept = Kept()
    for question in ("all checks", "all results"):
        await kept.get(question, dear)
    async with Store(NOBODY_LISTENS) as store, client_of(store, kept=kept) as client:
        assert value((await client.get(METRICS)).text, "checking_up", part="db") == 0
