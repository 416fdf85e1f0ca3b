"""``Idempotency-Key``: what is sent again is carried out once, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from checking_core.contracts import AccessRole
from checking_core.storage import Store
from checking_core.storage.audit import Author
from checking_core.storage.tables import idempotency_keys
from checking_server.access import Keyring, create_key
from checking_server.api.once import HEADER, REPLAYED

from .api_client import client_of
from .conftest import Clock, Stations, hint

API = "/api/v1"
OPERATIONS, CHECKS, INGEST = f"{API}/operations", f"{API}/detections/executions", f"{API}/ingest/link-results"
WANTED = {"operation_id": "autumn", "name": "autumn"}
Link = Callable[..., bytes]


async def post(client: httpx.AsyncClient, path: str, key: str, **options: Any) -> httpx.Response:
    return await client.post(path, headers={HEADER: key, **options.pop("headers", {})}, **options)


async def test_the_same_request_is_carried_out_once_and_answered_as_the_first_time(client: httpx.AsyncClient) -> None:
    first = await post(client, OPERATIONS, "a", json=WANTED)
    again = await post(client, OPERATIONS, "a", json=WANTED)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert (REPLAYED in first.headers, again.headers[REPLAYED]) == (False, "true")
    assert (await client.post(OPERATIONS, json=WANTED)).status_code == 409, "without the key it is another request"


async def test_what_changes_with_every_time_changes_once(
    client: httpx.AsyncClient, stations: Stations, link: Link
) -> None:
    await stations.accepts(link(detections=[hint()]))
    (check,) = (await client.get(CHECKS)).json()["items"]
    await client.post(f"{CHECKS}/{check['id']}/cancel")
    looks = [(await post(client, f"{CHECKS}/{check['id']}/retry", "a")).json()["look"] for _ in range(3)]
    assert looks == [2, 2, 2]


async def test_another_request_under_the_same_key_is_refused(client: httpx.AsyncClient) -> None:
    await post(client, OPERATIONS, "a", json=WANTED)
    other = await post(client, OPERATIONS, "a", json={**WANTED, "operation_id": "winter"})
    assert (other.status_code, other.headers["content-type"]) == (422, "application/problem+json")
    assert (await client.get(OPERATIONS)).json()["total"] == 1


async def test_who_reads_no_gzip_is_answered_as_well(client: httpx.AsyncClient, link: Link) -> None:
    body = b"[" + b",".join(link(number) for number in range(1, 30)) + b"]"
    packed = await post(client, INGEST, "a", content=body, headers={"Accept-Encoding": "gzip"})
    plain = await post(client, INGEST, "a", content=body, headers={"Accept-Encoding": "identity"})
    assert (packed.headers["content-encoding"], "content-encoding" in plain.headers) == ("gzip", False)
    assert plain.json() == packed.json()


async def test_a_key_stands_for_one_path(client: httpx.AsyncClient, link: Link) -> None:
    await post(client, OPERATIONS, "a", json=WANTED)
    assert (await post(client, INGEST, "a", content=link())).json()["new"] == 1


async def test_what_failed_is_carried_out_when_it_comes_again(client: httpx.AsyncClient) -> None:
    wrong = {**WANTED, "name": 7}
    answers = [await post(client, OPERATIONS, "a", json=wrong) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert not any(REPLAYED in answer.headers for answer in answers)
    assert (await post(client, OPERATIONS, "a", json=WANTED)).status_code == 201


async def test_at_the_same_time_it_is_carried_out_once(client: httpx.AsyncClient, link: Link) -> None:
    answers = await asyncio.gather(*(post(client, INGEST, "a", content=link()) for _ in range(8)))
    done = [answer.json()["new"] for answer in answers if answer.status_code == 200]
    assert done, "one of them is carried out"
    assert set(done) == {1}, "and nobody is told that it was a repetition"
    assert {answer.status_code for answer in answers} <= {200, 409}


async def test_a_request_whose_process_died_is_carried_out_after_a_minute(
    client: httpx.AsyncClient, store: Store, clock: Clock
) -> None:
    first = await post(client, OPERATIONS, "a", json=WANTED)
    async with store.begin() as uow:  # as it stands before anything is stored
        await uow.connection.execute(sa.update(idempotency_keys).values(status=None))
        await uow.operations.delete((await uow.operations.list()).items[0]["operation_id"])
    assert (await post(client, OPERATIONS, "a", json=WANTED)).status_code == 409
    clock.move(61)
    again = await post(client, OPERATIONS, "a", json=WANTED)
    assert (again.status_code, again.json()["id"] != first.json()["id"]) == (201, True)


async def test_after_a_day_a_key_is_forgotten(client: httpx.AsyncClient, clock: Clock) -> None:
    await post(client, OPERATIONS, "a", json=WANTED)
    clock.move(24 * 3600 + 1)
    assert (await post(client, OPERATIONS, "a", json=WANTED)).status_code == 409, "it is carried out, and is there"


async def test_nobody_else_s_request_is_mistaken_for_it(store: Store) -> None:
    async with store.begin() as uow:
        keys = [
            (await create_key(uow, Author(name="me"), name=name, role=AccessRole.OPERATOR))[0]
            for name in ("mine", "yours")
        ]
    async with client_of(store, keyring=Keyring(store, lifetime=timedelta(minutes=15))) as client:
        mine, yours = [await post(client, OPERATIONS, "a", json=WANTED, headers={"X-API-Key": key}) for key in keys]
    assert (mine.status_code, yours.status_code) == (201, 409)
    assert "there is an operation" in yours.json()["detail"]


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_named(client: httpx.AsyncClient, key: str) -> None:
    answer = await post(client, OPERATIONS, key, json=WANTED)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, HEADER)


async def test_no_secret_is_kept(client: httpx.AsyncClient) -> None:
    answer = await post(client, f"{API}/auth/api-keys", "a", json={"name": "me", "role": "viewer"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, HEADER)


async def test_a_reader_needs_none(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.get(f"{OPERATIONS}/{uuid4()}", headers={HEADER: "a"})
        assert answer.status_code == 404
