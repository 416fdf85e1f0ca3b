"""Counts over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from .api_client import client_of
from .conftest import an_answer, hint, taken

API = "/api/v1"
RED, BLUE = "10000000-0000-4000-8000-000000000001", "20000000-0000-4000-8000-000000000002"


@pytest.fixture
async def client(stations: Any, clock: Any, link: Callable[..., bytes]) -> AsyncIterator[httpx.AsyncClient]:
    """Red: T1003 asked of two backends, one alerted and one open; T1059 that did not run. Blue: no technique, open."""
    siem, _ = await stations.serve("siem"), await stations.serve("edr")
    both = {"ability": {"technique_id": "T1003"}, "detections": [hint(), hint("edr")]}
    await stations.accepts(
        link(1, operation={"operation_id": RED}, **both),
        link(2, operation={"operation_id": RED}, ability={"technique_id": "T1059"}, link_state="DISCARD"),
    )
    await stations.dispatch()
    (task,) = await taken(siem)
    clock.move(1)
    await stations.gathers(an_answer(task))
    await stations.accepts(link(3, operation={"operation_id": BLUE, "name": "blue"}))
    async with client_of(stations.store) as opened:
        yield opened


async def told(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(f"{API}{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_checks_are_counted_by_backend_status_and_outcome(client: httpx.AsyncClient) -> None:
    counted = await told(client, "/statistics/checks")
    kinds = {(one["backend"], one["status"], one["outcome"]): one["checks"] for one in counted["items"]}
    assert kinds == {
        ("siem", "completed", "alerted"): 1,
        ("siem", "completed", "not_run"): 1,
        ("siem", "pending", "pending"): 1,
        ("edr", "dispatched", "pending"): 1,
    }
    assert counted["total"] == 4


async def test_the_filters_of_checks_narrow_what_is_counted(client: httpx.AsyncClient) -> None:
    assert (await told(client, "/statistics/checks", operation_id=BLUE))["total"] == 1
    assert (await told(client, "/statistics/checks", platform="edr"))["total"] == 1
    assert (await told(client, "/statistics/checks", technique="T1003"))["total"] == 2
    assert (await told(client, "/statistics/checks", outcome=["alerted", "not_run"]))["total"] == 2


async def test_techniques_tell_which_are_seen(client: httpx.AsyncClient) -> None:
    items = (await told(client, "/statistics/techniques"))["items"]
    assert items == [
        {"technique_id": "T1003", "checks": 2, "by_outcome": {"alerted": 1, "pending": 1}},
        {"technique_id": "T1059", "checks": 1, "by_outcome": {"not_run": 1}},
        {"technique_id": None, "checks": 1, "by_outcome": {"pending": 1}},
    ]


async def test_operations_are_told_with_their_counts(client: httpx.AsyncClient) -> None:
    counted = await told(client, "/statistics/operations")
    numbers = {
        one["operation_id"]: (one["counts"]["executions"], one["counts"]["checks"], one["counts"]["open"])
        for one in counted["items"]
    }
    assert numbers == {RED: (2, 3, 1), BLUE: (1, 1, 1)}
    assert counted["total"] == 2


async def test_the_summary_counts_verdicts_by_what_they_say_and_why(client: httpx.AsyncClient) -> None:
    summary = await told(client, "/detections/results/stats/summary")
    assert summary["total"] == 2
    assert summary["by_detected"] == {"true": 1, "false": 0, "unknown": 1}
    assert summary["by_outcome"] == {"alerted": 1, "not_run": 1}
    assert summary["by_reason"] == {"matched_alert": 1, "execution_skipped": 1}


async def test_the_filters_of_results_narrow_the_summary(client: httpx.AsyncClient) -> None:
    assert (await told(client, "/detections/results/stats/summary", detected="true"))["total"] == 1
    assert (await told(client, "/detections/results/stats/summary", operation_id=BLUE))["total"] == 0


async def test_an_unknown_word_is_refused_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{API}/statistics/checks", params={"outcome": "seen"})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "outcome"
