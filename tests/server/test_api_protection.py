"""What stands around every route: how often, how slowly, from where it may be asked, and in what it is wrapped."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from litestar import Litestar

from checking_core.contracts import AccessRole
from checking_core.storage import Store, migrate
from checking_server.access import create_key
from checking_server.settings import ApiSettings

from .api_client import app_on, client_of, client_of_app
from .conftest import SOMEBODY
from .test_api_access import ring

OPERATIONS = "/api/v1/operations"


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Store]:
    """A store on SQLite: nothing here concerns it."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
    await migrate.upgrade(url)
    async with Store(url) as store:
        yield store


def guarded(store: Store, **settings: object) -> Litestar:
    return app_on(store, parts={"keyring": ring(store)}, settings=ApiSettings(**settings))


async def a_key(store: Store) -> dict[str, str]:
    async with store.begin() as uow:
        key, _ = await create_key(uow, SOMEBODY, name="me", role=AccessRole.VIEWER)
    return {"X-API-Key": key}


async def test_who_asks_too_often_is_told_when_to_come_back_and_nobody_else_suffers(plain: Store) -> None:
    async with client_of_app(guarded(plain, requests_per_minute=12)) as client:
        mine, other = await a_key(plain), await a_key(plain)
        answers = [await client.get(OPERATIONS, headers=mine) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
        assert answers[-1].json()["status"] == 429
        assert (await client.get(OPERATIONS, headers=other)).status_code == 200
        assert (await client.get("/api/v1/health/live")).status_code == 200


async def test_whoever_guesses_keys_is_not_listened_to_and_a_right_one_from_there_is(plain: Store) -> None:
    """Behind a proxy everybody has one address."""
    async with client_of_app(guarded(plain)) as client:
        right = await a_key(plain)
        wrong = {"X-API-Key": "chk_0123456789ab_" + "x" * 43}
        statuses = [(await client.get(OPERATIONS, headers=wrong)).status_code for _ in range(21)]
        assert statuses == [401] * 20 + [429]
        assert (await client.get(OPERATIONS, headers=right)).status_code == 200


async def test_who_brings_no_key_at_all_guesses_none(plain: Store) -> None:
    async with client_of_app(guarded(plain)) as client:
        assert {(await client.get(OPERATIONS)).status_code for _ in range(30)} == {401}


@pytest.mark.parametrize(
    "page", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_where_nobody_is_asked_no_page_of_another_origin_writes(plain: Store, page: dict[str, str]) -> None:
    """A browser sends it without asking, as long as it says that its body is plain text."""
    body = b'{"operation_id": "a", "name": "a"}'
    async with client_of(plain) as client:
        refused = await client.post(OPERATIONS, content=body, headers={**page, "Content-Type": "text/plain"})
        read = await client.get(OPERATIONS, headers=page)
        own = await client.post(OPERATIONS, content=body, headers={"Origin": "http://127.0.0.1:1337"})
    assert (refused.status_code, read.status_code, read.json()["total"], own.status_code) == (403, 200, 0, 201)


async def test_a_page_that_is_named_writes(plain: Store) -> None:
    page = {"Origin": "https://soc.example", "Sec-Fetch-Site": "cross-site"}
    async with client_of(plain, settings=ApiSettings(origins="https://soc.example")) as client:
        answer = await client.post(OPERATIONS, json={"operation_id": "a", "name": "a"}, headers=page)
    assert answer.status_code == 201


@pytest.mark.parametrize("path", [OPERATIONS, "/nowhere", "/schema", "/api/v1/health/live"])
async def test_every_answer_forbids_to_run_frame_and_keep_it(plain: Store, path: str) -> None:
    async with client_of(plain) as client:
        headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert "strict-transport-security" not in headers


async def test_tls_alone_is_demanded_where_a_proxy_has_it(plain: Store) -> None:
    async with client_of(plain, settings=ApiSettings(hsts=True)) as client:
        assert "max-age" in (await client.get(OPERATIONS)).headers["strict-transport-security"]


async def test_a_long_answer_is_packed_for_whoever_unpacks_it(plain: Store) -> None:
    async with client_of(plain) as client:
        packed = client.build_request("GET", "/schema", headers={"Accept-Encoding": "gzip"})
        answer = await client.send(packed, stream=True)
        raw = b"".join([part async for part in answer.aiter_raw()])
        plain_text = await client.get("/schema", headers={"Accept-Encoding": "identity"})
        short = await client.get("/api/v1/health/live", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["content-encoding"], gzip.decompress(raw)) == ("gzip", plain_text.content)
    assert "content-encoding" not in plain_text.headers
    assert "content-encoding" not in short.headers


async def test_no_page_may_ask_from_a_browser_unless_it_is_named(plain: Store) -> None:
    asked = {"Origin": "https://soc.example", "Access-Control-Request-Method": "GET"}
    async with client_of(plain) as client:
        for answer in (await client.get(OPERATIONS, headers=asked), await client.options(OPERATIONS, headers=asked)):
            assert "access-control-allow-origin" not in answer.headers
    async with client_of(plain, settings=ApiSettings(origins="https://soc.example, https://b.example")) as client:
        allowed = await client.get(OPERATIONS, headers=asked)
        refused = await client.get(OPERATIONS, headers={**asked, "Origin": "https://evil.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://soc.example"
    assert "access-control-allow-credentials" not in allowed.headers
    assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origins", ["*", "soc.example", "https://soc.example/path", "null"])
def test_an_origin_that_is_none_is_refused(origins: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        ApiSettings(origins=origins)


async def test_a_body_that_trickles_in_is_given_up(plain: Store) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    async with client_of(plain, settings=ApiSettings(body_seconds=0.05)) as client:
        answer = await client.post("/api/v1/ingest/link-results", content=trickle())
    assert (answer.status_code, answer.json()["status"]) == (408, 408)
    assert "did not come within 0.05 s" in answer.json()["detail"]


async def test_a_body_is_limited_however_it_comes(plain: Store) -> None:
    async def much() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    async with client_of(plain, body_limit=1_000) as client:
        for content in (b" " * 1_001, much()):
            answer = await client.post("/api/v1/ingest/link-results", content=content)
            assert (answer.status_code, answer.json()["status"]) == (413, 413)
