"""Operations over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from checking_core.contracts import identity
from checking_core.storage import Store

from .api_client import client_of

OPERATIONS = "/api/v1/operations"
FIRST, SECOND, THIRD = (f"10000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(store) as opened:
        yield opened


@pytest.fixture
def happened(stations: Any, clock: Any, link: Callable[..., bytes]) -> Callable[..., Any]:
    """Operations as messages tell them, one second after the other."""

    async def accept(*ids: str, **about: Any) -> None:
        for operation_id in ids:
            clock.move(1)
            await stations.accepts(link(operation={"operation_id": operation_id, "name": "op", **about}))

    return accept


async def test_an_empty_store_has_an_empty_list(client: httpx.AsyncClient) -> None:
    answer = await client.get(OPERATIONS)
    assert answer.status_code == 200
    assert answer.json() == {"items": [], "total": 0, "total_is_minimum": False, "page": 1, "size": 100, "next": None}


async def test_the_newest_operation_comes_first(client: httpx.AsyncClient, happened: Any) -> None:
    await happened(FIRST, SECOND)
    items = (await client.get(OPERATIONS)).json()["items"]
    assert [item["operation_id"] for item in items] == [SECOND, FIRST]


async def test_pages_show_every_operation_once(client: httpx.AsyncClient, happened: Any) -> None:
    await happened(FIRST, SECOND, THIRD)
    pages = [(await client.get(OPERATIONS, params={"page": page, "size": 2})).json() for page in (1, 2, 3)]
    assert [[item["operation_id"] for item in page["items"]] for page in pages] == [[THIRD, SECOND], [FIRST], []]
    assert {page["total"] for page in pages} == {3}


async def test_the_state_selects_and_the_total_counts_what_it_selects(client: httpx.AsyncClient, happened: Any) -> None:
    await happened(FIRST, state="running")
    await happened(SECOND, state="finished")
    found = (await client.get(OPERATIONS, params={"state": "finished"})).json()
    assert [item["operation_id"] for item in found["items"]] == [SECOND]
    assert found["total"] == 1


async def test_an_operation_is_found_by_each_of_its_ids(client: httpx.AsyncClient, happened: Any) -> None:
    await happened(FIRST)
    told = (await client.get(f"{OPERATIONS}/by-caldera-id/{FIRST}")).json()
    assert told["operation_id"] == FIRST
    assert told["source"] == "caldera"
    for key in (told["id"], told["operation_id"]):
        assert (await client.get(f"{OPERATIONS}/{key}")).json() == told


async def test_an_operation_whose_id_is_no_uuid_is_found_by_caldera_s_text(
    client: httpx.AsyncClient, happened: Any
) -> None:
    await happened("op 7/8")
    told = (await client.get(f"{OPERATIONS}/{identity('caldera', 'op 7/8')}")).json()
    assert told["source_id"] == "op 7/8"
    await happened("op-9")
    told = (await client.get(f"{OPERATIONS}/by-caldera-id/op-9")).json()
    assert told["source_id"] == "op-9"


@pytest.mark.parametrize("path", [THIRD, f"by-caldera-id/{THIRD}", "by-caldera-id/op-9"])
async def test_an_operation_that_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"{OPERATIONS}/{path}")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no operation with this id"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=0", "page"),
        ("page=1000001", "page"),
        ("page=x", "page"),
        ("size=0", "size"),
        ("size=1001", "size"),
        ("size=99999999999999999999", "size"),
        (f"state={'x' * 1001}", "state"),
    ],
)
async def test_a_page_beyond_its_bounds_names_the_field(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"{OPERATIONS}?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_key_that_is_no_uuid_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{OPERATIONS}/abc")
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "key", "message": "Invalid UUID"}]


async def test_the_largest_page_is_answered(client: httpx.AsyncClient) -> None:
    answer = await client.get(OPERATIONS, params={"page": 1_000_000, "size": 1_000})
    assert answer.status_code == 200
    assert answer.json()["items"] == []


async def test_a_filter_that_a_database_can_not_compare_is_the_caller_s_error(
    client: httpx.AsyncClient, store: Store
) -> None:
    answer = await client.get(f"{OPERATIONS}?state=%00")
    assert answer.status_code == (200 if store.embedded else 400)


@pytest.mark.parametrize("path", [OPERATIONS, f"{OPERATIONS}/by-caldera-id/{FIRST}"])
async def test_a_trailing_slash_changes_nothing(client: httpx.AsyncClient, happened: Any, path: str) -> None:
    await happened(FIRST)
    without, trailing = await client.get(path), await client.get(f"{path}/")
    assert trailing.status_code == 200
    assert trailing.json() == without.json()
