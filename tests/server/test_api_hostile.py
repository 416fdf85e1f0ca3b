"""What requests must not get away with, on both databases: races, made-up names, keys that grow, deep bodies."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from checking_core.contracts import AccessRole
from checking_core.storage import Store
from checking_core.storage.tables import api_keys
from checking_server.access import Scope, create_key
from checking_server.metrics import Metrics

from .api_client import client_of
from .conftest import SOMEBODY, Stations
from .test_api_access import ring

API = "/api/v1"
OPERATIONS, EXECUTIONS, CHECKS = f"{API}/operations", f"{API}/executions", f"{API}/detections/executions"
INGEST, KEYS = f"{API}/ingest/link-results", f"{API}/auth/api-keys"
Link = Callable[..., bytes]


# --- races ----------------------------------------------------------------------------------------------------


async def test_what_was_taken_in_is_not_deleted_by_who_meant_an_empty_operation(
    client: httpx.AsyncClient, link: Link
) -> None:
    for number in range(15):
        key = str(uuid4())
        await client.post(OPERATIONS, json={"operation_id": key, "name": "op"})
        taken_in, deleted = await asyncio.gather(
            client.post(INGEST, content=link(number, operation={"operation_id": key})),
            client.delete(f"{OPERATIONS}/{key}"),
        )
        assert taken_in.status_code == 200, taken_in.text
        left = (await client.get(EXECUTIONS, params={"operation_id": key})).json()["total"]
        assert (deleted.status_code, left) in ((204, 1), (409, 1)), "it was there before, or came after"


async def test_a_check_is_not_deleted_by_who_meant_an_execution_without_any(
    client: httpx.AsyncClient, stations: Stations, link: Link
) -> None:
    for number in range(15):
        await stations.accepts(link(number, detections=[]))
        (execution,) = (await client.get(EXECUTIONS, params={"size": 1})).json()["items"]
        wanted = {"execution_result_id": execution["id"], "detection_platform": "edr", "detection_config": {}}
        asked, deleted = await asyncio.gather(
            client.post(CHECKS, json={**wanted, "detection_config": {"query": "x"}}),
            client.delete(f"{EXECUTIONS}/{execution['id']}"),
        )
        assert (asked.status_code, deleted.status_code) in ((201, 409), (404, 204)), (asked.text, deleted.text)
        if deleted.status_code == 409:
            await client.delete(f"{EXECUTIONS}/{execution['id']}", params={"cascade": True})


async def test_of_two_who_delete_one_has_deleted(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        key = str(uuid4())
        await client.post(OPERATIONS, json={"operation_id": key, "name": "op"})
        update = client.put(f"{OPERATIONS}/{key}", json={"name": "other"})
        answers = await asyncio.gather(*(client.delete(f"{OPERATIONS}/{key}") for _ in range(3)), update)
        statuses = [answer.status_code for answer in answers]
        assert sorted(statuses[:3]) == [204, 404, 404]
        assert statuses[3] in (200, 404)


# --- ids and names --------------------------------------------------------------------------------------------


async def test_an_operation_that_is_called_like_another_one_s_row_hides_nothing(client: httpx.AsyncClient) -> None:
    first = (await client.post(OPERATIONS, json={"operation_id": str(uuid4()), "name": "first"})).json()
    second = (await client.post(OPERATIONS, json={"operation_id": first["id"], "name": "second"})).json()
    assert (await client.get(f"{OPERATIONS}/{first['id']}")).json()["name"] == "first"
    assert (await client.get(f"{OPERATIONS}/{second['id']}")).json()["name"] == "second"
    assert (await client.delete(f"{OPERATIONS}/{first['id']}")).status_code == 204
    assert (await client.get(f"{OPERATIONS}/{first['id']}")).json()["name"] == "second"


def test_no_made_up_backend_takes_the_name_of_one_that_is_configured() -> None:
    metrics = Metrics()
    metrics.know(["siem"])
    for number in range(150):
        metrics.task(f"made-up-{number}", sent=True)
    metrics.task("siem", sent=True)
    assert b'checking_tasks_sent_total{backend="siem"} 1.0' in metrics.text()


async def test_a_cursor_of_the_longest_name_is_taken_back(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post(OPERATIONS, json={"operation_id": str(uuid4()), "name": "操" * 1000})
    page = (await client.get(OPERATIONS, params={"sort": "-name", "size": 1})).json()
    behind = await client.get(OPERATIONS, params={"sort": "-name", "size": 1, "after": page["next"]})
    assert (behind.status_code, len(behind.json()["items"])) == (200, 1)


# --- keys -----------------------------------------------------------------------------------------------------


async def a_key(store: Store, *scopes: Scope, expires_at: datetime | None = None) -> dict[str, str]:
    async with store.begin() as uow:
        told = {"name": "me", "role": AccessRole.ADMIN, "scopes": scopes, "expires_at": expires_at}
        key, _ = await create_key(uow, SOMEBODY, **told)  # type: ignore[arg-type]
    return {"X-API-Key": key}


async def made(client: httpx.AsyncClient, headers: dict[str, str], **changes: Any) -> int:
    wanted = {"name": "more", "role": "viewer", **changes}
    return (await client.post(KEYS, json=wanted, headers=headers)).status_code


async def test_a_key_makes_none_that_may_more_than_itself(store: Store) -> None:
    confined = await a_key(store, Scope.ACCESS, Scope.HEALTH)
    async with client_of(store, keyring=ring(store)) as client:
        assert await made(client, confined) == 403
        assert await made(client, confined, scopes=["health", "operations"]) == 403
        assert await made(client, confined, scopes=["health"]) == 201


async def test_a_key_makes_none_that_lasts_longer_than_itself(store: Store, clock: Any) -> None:
    end = clock.now + timedelta(days=1)
    short = await a_key(store, expires_at=end)
    async with client_of(store, keyring=ring(store)) as client:
        assert await made(client, short) == 403
        assert await made(client, short, expires_at=(end + timedelta(hours=1)).isoformat()) == 403
        assert await made(client, short, expires_at=end.isoformat()) == 201


async def test_a_token_makes_no_key(store: Store) -> None:
    async with client_of(store, keyring=ring(store)) as client:
        token = (await client.post(f"{API}/auth/token", headers=await a_key(store))).json()["access_token"]
        assert await made(client, {"Authorization": f"Bearer {token}"}) == 403


async def test_a_key_that_is_confined_to_what_nobody_knows_may_nothing(store: Store) -> None:
    headers = await a_key(store, Scope.HEALTH)
    async with store.begin() as uow:
        await uow.connection.execute(sa.update(api_keys).values(scopes=["reports"]))
    async with client_of(store, keyring=ring(store)) as client:
        assert (await client.get(OPERATIONS, headers=headers)).status_code == 401


# --- bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [900, 2_000, 100_000])
async def test_a_body_that_is_nested_too_deep_is_refused(client: httpx.AsyncClient, depth: int) -> None:
    body = b'{"operation_id": "a", "name": "a", "metadata": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
    answer = await client.post(OPERATIONS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (201, 400), answer.text
    assert depth < 10_000 or answer.status_code == 400  # how deep a decoder goes differs between releases of Python


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"operation_id": "a", "name": 7}, "name"),
        ({"operation_id": "a", "name": "a", "nmae": "b"}, "nmae"),
        ({"operation_id": "a", "name": "a", "operation_start": "2025-01-01"}, "operation_start"),
    ],
)
async def test_what_is_wrong_within_a_body_is_told_by_its_own_name(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    problem = (await client.post(OPERATIONS, json=body)).json()
    assert problem["errors"][0]["field"] == field


async def test_a_time_that_is_none_is_told_as_it_should_be_written(client: httpx.AsyncClient) -> None:
    problem = (await client.get(OPERATIONS, params={"from": "2025-01-01"})).json()
    assert problem["errors"] == [{"field": "from", "message": "is no time; write it as 2026-11-20T19:28:40Z"}]


async def test_a_correction_that_is_refused_changes_nothing(
    client: httpx.AsyncClient, stations: Stations, link: Link
) -> None:
    await stations.accepts(link())
    (check,) = (await client.get(CHECKS)).json()["items"]
    refused = await client.put(f"{CHECKS}/{check['id']}", json={"status": "completed", "max_retries": 77})
    assert refused.status_code == 409
    assert (await client.get(f"{CHECKS}/{check['id']}")).json() == check


async def test_a_request_that_was_taken_over_keeps_and_drops_nothing_of_the_other(store: Store) -> None:
    key = uuid4()
    async with store.begin() as uow:
        late = uow.now - timedelta(minutes=2)
        assert await uow.idempotency_keys.claim(key, "f") is None
        await uow.idempotency_keys.keep(key, uow.now, status=201, media_type="", body=b"mine")
        await uow.idempotency_keys.drop(key, late)
        await uow.idempotency_keys.keep(key, late, status=200, media_type="", body=b"theirs")
        known = await uow.idempotency_keys.claim(key, "f")
    assert known is not None
    assert bytes(known["body"]) == b"mine"


async def test_bodies_that_were_refused_do_not_pile_up(client: httpx.AsyncClient) -> None:
    """An error, its frames and the request hold each other, and on a server Python seldom looks for that."""
    body = json.dumps({"operation_id": "a", "name": "a", "more": "x" * 4_000_000}).encode()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(30):
            answer = await client.post(OPERATIONS, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code == 400
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert kept < 60_000_000
