"""Dead letters over HTTP, on both databases: read, sent again, forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from checking_core.storage import Store
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import HEADER_REPLAY_OF, Topology
from checking_server.flow.replay import Replay

from .api_client import client_of

LETTERS, AUDIT = "/api/v1/dead-letters", "/api/v1/audit"
HOSTILE = b'{"a": "<script>"}\xff\x00'


@pytest.fixture
def transport() -> MemoryTransport:
    return MemoryTransport(Topology())


@pytest.fixture
async def client(store: Store, transport: MemoryTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(store, transport, replay=Replay(store, transport, Topology())) as opened:
        yield opened


async def bury(store: Store, **about: Any) -> UUID:
    key = uuid4()
    letter = {"id": key, "queue": Topology().instructions_queue, "body": HOSTILE, "reason": "operation: is missing"}
    async with store.begin() as uow:
        await uow.dead_letters.add_batch([{**letter, **about}])
    return key


async def logged(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    return [(one["action"], one["subject"]) for one in (await client.get(AUDIT)).json()["items"]]


async def test_a_list_tells_everything_but_the_bodies(client: httpx.AsyncClient, store: Store) -> None:
    key = await bury(store, headers={"x-request-id": "r1"})
    await bury(store, reason="another")
    found = (await client.get(LETTERS, params={"reason": "MISSING"})).json()
    (item,) = found["items"]
    assert (item["id"], item["reason"], item["headers"]) == (str(key), "operation: is missing", {"x-request-id": "r1"})
    assert ("body" in item, found["total"]) == (False, 1)


async def test_a_body_is_told_whatever_its_bytes_are(client: httpx.AsyncClient, store: Store) -> None:
    told = (await client.get(f"{LETTERS}/{await bury(store)}")).json()
    assert told["body"] == '{"a": "<script>"}\\xff\x00'
    assert told["body_base64"] == "eyJhIjogIjxzY3JpcHQ+In3/AA=="


async def test_a_letter_is_sent_again_to_the_queue_it_came_from(
    client: httpx.AsyncClient, store: Store, transport: MemoryTransport
) -> None:
    key = await bury(store)
    await transport.start()
    lane = await transport.subscribe(Topology().instructions_queue, prefetch=1)
    assert (await client.post(f"{LETTERS}/{key}/replay")).status_code == 204
    (delivery,) = await lane.batch(1, 5)
    assert (delivery.message.body, delivery.message.headers[HEADER_REPLAY_OF]) == (HOSTILE, str(key))
    await lane.stop()
    assert await logged(client) == [("dead_letter.replay", str(key))]
    assert (await client.post(f"{LETTERS}/{key}/replay")).status_code == 404


async def test_a_letter_of_no_queue_of_ours_stays(client: httpx.AsyncClient, store: Store) -> None:
    key = await bury(store, queue="somebody.elses")
    answered = await client.post(f"{LETTERS}/{key}/replay")
    assert (answered.status_code, "came from no queue" in answered.json()["detail"]) == (409, True)
    assert (await client.get(f"{LETTERS}/{key}")).status_code == 200
    assert await logged(client) == []


async def test_a_server_that_may_publish_nowhere_says_who_can(store: Store) -> None:
    async with client_of(store) as alone:
        answered = await alone.post(f"{LETTERS}/{await bury(store)}/replay")
    assert (answered.status_code, "checking dead-letters replay" in answered.json()["detail"]) == (409, True)


async def test_a_letter_is_forgotten_for_good(client: httpx.AsyncClient, store: Store) -> None:
    key = await bury(store)
    assert [(await client.delete(f"{LETTERS}/{key}")).status_code for _ in range(2)] == [204, 404]
    assert await logged(client) == [("dead_letter.delete", str(key))]
