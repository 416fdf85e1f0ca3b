"""Who may do what over HTTP: keys, tokens, roles, scopes, and the log of what was changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from litestar import Litestar, put
from litestar.handlers import HTTPRouteHandler

from checking_core.contracts import AccessRole
from checking_core.storage import Store
from checking_server.access import Keyring, Scope, create_key
from checking_server.api.guards import needed_role

from .api_client import app_on, client_of, client_of_app
from .conftest import SOMEBODY

API = "/api/v1"
KEYS, TOKEN, AUDIT = f"{API}/auth/api-keys", f"{API}/auth/token", f"{API}/audit"
SECRET, OLDER = "s" * 32, "o" * 32
OPEN_ROUTES = {f"{API}/health/live", f"{API}/health/ready"}


def ring(store: Store, *signing: str, minutes: float = 15) -> Keyring:
    return Keyring(store, signing=signing or (SECRET,), lifetime=timedelta(minutes=minutes))


def app_of(store: Store, keyring: Keyring | None = None) -> Litestar:
    return app_on(store, parts={"keyring": keyring or ring(store)})


@pytest.fixture
async def client(store: Store) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of_app(app_of(store)) as opened:
        yield opened


async def a_key(store: Store, role: AccessRole = AccessRole.ADMIN, **about: Any) -> dict[str, str]:
    """The header of a new key."""
    async with store.begin() as uow:
        key, _ = await create_key(uow, SOMEBODY, **{"name": f"the {role}", "role": role, **about})
    return {"X-API-Key": key}


def routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Every method of every route below the version."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            for method in handler.http_methods:
                if route.path.startswith(API) and method != "OPTIONS":
                    yield method, route.path, handler


def called(path: str) -> str:
    """A path with something in the place of its parameters."""
    parts = [("7" if ":int" in part else "0" * 32) if part.startswith("{") else part for part in path.split("/")]
    return "/".join(parts)


async def test_no_route_is_open_but_those_that_orchestrators_ask(store: Store, client: httpx.AsyncClient) -> None:
    asked = {}
    for method, path, _ in routes(app_of(store)):
        asked[method, path] = (await client.request(method, called(path))).status_code
    assert len(asked) > 30
    refused = {401, 429}  # after some of these it is no longer listened to
    assert {path for (_, path), status in asked.items() if status not in refused} == OPEN_ROUTES


async def test_every_route_refuses_the_roles_below_its_own(store: Store, client: httpx.AsyncClient) -> None:
    headers = {role: await a_key(store, role) for role in AccessRole}
    refused, expected = set(), set()
    for method, path, handler in routes(app_of(store)):
        needed = needed_role(handler)
        for role in AccessRole:
            if needed is not None and not role.may(needed):
                expected.add((method, path, role))
                if (await client.request(method, called(path), headers=headers[role])).status_code == 403:
                    refused.add((method, path, role))
    assert refused == expected
    assert len(expected) >= 12


@put("/something")
async def changes_something() -> None:
    """A route whose author forgot to say who may."""


def test_a_route_that_says_nothing_of_itself_is_read_by_viewers_and_written_by_admins(store: Store) -> None:
    silent = [(method, handler) for method, _, handler in routes(app_of(store)) if "needs" not in handler.opt]
    assert {method: needed_role(handler) for method, handler in silent} == {"GET": AccessRole.VIEWER}
    assert needed_role(changes_something) is AccessRole.ADMIN


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "chk_0123456789ab_" + "x" * 43},
        {"X-API-Key": "' OR 1=1"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": "Bearer " + "a" * 5_000},
    ],
)
async def test_who_is_not_known_gets_nothing_but_the_way_to_say_who_they_are(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.get(f"{API}/operations", headers=headers)
    assert (answer.status_code, answer.json()["status_code"]) == (401, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_is_good_in_either_header(store: Store, client: httpx.AsyncClient) -> None:
    given = await a_key(store, AccessRole.VIEWER)
    for headers in (given, {"Authorization": f"Bearer {given['X-API-Key']}"}):
        assert (await client.get(f"{API}/operations", headers=headers)).status_code == 200


async def test_another_secret_with_the_prefix_of_a_key_is_refused(store: Store, client: httpx.AsyncClient) -> None:
    given = await a_key(store)
    forged = given["X-API-Key"][:-43] + "x" * 43
    await client.get(f"{API}/operations", headers=given)
    assert (await client.get(f"{API}/operations", headers={"X-API-Key": forged})).status_code == 401


async def test_a_key_ends_when_it_says(store: Store, client: httpx.AsyncClient, clock: Any) -> None:
    given = await a_key(store, expires_at=clock.now + timedelta(seconds=10))
    clock.move(10)
    assert (await client.get(f"{API}/operations", headers=given)).status_code == 401


async def test_a_key_that_is_revoked_is_good_for_nothing(store: Store, client: httpx.AsyncClient) -> None:
    admin, other = await a_key(store), await a_key(store, AccessRole.VIEWER)
    listed = (await client.get(KEYS, headers=admin)).json()["items"]
    (key,) = [item["id"] for item in listed if item["name"] == "the viewer"]
    revoked = await client.delete(f"{KEYS}/{key}", headers=admin)
    assert revoked.json()["revoked_at"] is not None
    assert (await client.get(f"{API}/operations", headers=other)).status_code == 401
    again = await client.delete(f"{KEYS}/{key}", headers=admin)
    assert again.json() == revoked.json()


async def test_a_key_that_is_not_there_cannot_be_revoked(store: Store, client: httpx.AsyncClient) -> None:
    assert (await client.delete(f"{KEYS}/{'0' * 32}", headers=await a_key(store))).status_code == 404


async def test_a_key_is_told_once_and_its_secret_is_nowhere(store: Store, client: httpx.AsyncClient) -> None:
    admin = await a_key(store)
    wanted = {"name": "ci", "role": "operator", "scopes": ["ingest"], "expires_at": "2030-01-01T00:00:00Z"}
    answer = await client.post(KEYS, json=wanted, headers=admin)
    assert answer.status_code == 201
    made = answer.json()
    key = made.pop("key")
    assert {name: made[name] for name in wanted} == wanted
    assert key.startswith(f"chk_{made['prefix']}_")
    listed = await client.get(KEYS, headers=admin)
    assert made in listed.json()["items"]
    audit = await client.get(AUDIT, headers=admin)
    for text in (listed.text, audit.text):
        assert key[-43:] not in text
        assert "sha256" not in text
    async with store.read() as uow:
        row = await uow.api_keys.of_prefix(made["prefix"])
        assert row is not None
        assert key[-43:] not in str(dict(row))


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": "", "role": "viewer"}, "name"),
        ({"name": "x" * 256, "role": "viewer"}, "name"),
        ({"name": "x", "role": "root"}, "role"),
        ({"name": "x", "role": "viewer", "scopes": ["everything"]}, "scopes[0]"),
        ({"name": "x", "role": "viewer", "expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "role": "viewer", "key": "mine"}, "key"),
    ],
)
async def test_a_key_that_cannot_be_made_names_the_field(
    store: Store, client: httpx.AsyncClient, wanted: dict[str, Any], field: str
) -> None:
    answer = await client.post(KEYS, json=wanted, headers=await a_key(store))
    assert answer.status_code == 400
    assert field in answer.json()["detail"]


async def test_a_key_with_scopes_is_confined_to_them(store: Store, client: httpx.AsyncClient) -> None:
    confined = await a_key(store, AccessRole.ADMIN, scopes=[Scope.OPERATIONS])
    told = {
        path: (await client.get(f"{API}{path}", headers=confined)).status_code
        for path in ("/operations", "/executions")
    }
    assert told == {"/operations": 200, "/executions": 403}
    assert (await client.get(KEYS, headers=confined)).status_code == 403
    token = (await client.post(TOKEN, headers=confined)).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await client.get(f"{API}/executions", headers=bearer)).status_code == 403


async def test_the_use_of_a_key_is_noted_to_the_minute(store: Store, client: httpx.AsyncClient, clock: Any) -> None:
    admin = await a_key(store)
    used = []
    for seconds in (0, 59, 1):
        clock.move(seconds)
        async with client_of_app(app_of(store)) as fresh:
            await fresh.get(KEYS, headers=admin)
        async with store.read() as uow:
            used.append((await uow.api_keys.list()).items[0]["last_used_at"])
    assert used[0] == used[1]
    assert used[2] == clock.now


async def test_a_request_with_a_key_does_not_wait_for_those_who_write(store: Store, client: httpx.AsyncClient) -> None:
    viewer = await a_key(store, AccessRole.VIEWER)
    async with store.begin(), asyncio.timeout(5):
        assert (await client.get(f"{API}/operations", headers=viewer)).status_code == 200


async def test_a_token_stands_for_its_key_until_it_ends(store: Store, client: httpx.AsyncClient) -> None:
    answer = await client.post(TOKEN, headers=await a_key(store, AccessRole.VIEWER))
    assert answer.status_code == 201
    assert answer.json()["expires_in"] == 900
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get(f"{API}/operations", headers=bearer)).status_code == 200
    assert (await client.get(KEYS, headers=bearer)).status_code == 403
    assert (await client.post(TOKEN, headers=bearer)).status_code == 403


async def test_no_two_tokens_are_the_same(store: Store, client: httpx.AsyncClient) -> None:
    given = await a_key(store)
    tokens = [(await client.post(TOKEN, headers=given)).json()["access_token"] for _ in range(2)]
    ids = {jwt.decode(token, SECRET, algorithms=["HS256"], issuer="checking")["jti"] for token in tokens}
    assert len(ids) == 2


async def test_a_token_ends_with_its_key(store: Store) -> None:
    admin = await a_key(store)
    async with client_of_app(app_of(store)) as client:
        token = (await client.post(TOKEN, headers=admin)).json()["access_token"]
        (key,) = (await client.get(KEYS, headers=admin)).json()["items"]
        await client.delete(f"{KEYS}/{key['id']}", headers=admin)
    async with client_of_app(app_of(store)) as client:
        answer = await client.get(f"{API}/operations", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


async def test_a_token_of_the_secret_before_is_good_and_new_ones_have_the_new(store: Store) -> None:
    given = await a_key(store)
    async with client_of_app(app_of(store, ring(store, OLDER))) as client:
        old = (await client.post(TOKEN, headers=given)).json()["access_token"]
    async with client_of_app(app_of(store, ring(store, SECRET, OLDER))) as client:
        new = (await client.post(TOKEN, headers=given)).json()["access_token"]
        told = [await client.get(f"{API}/operations", headers={"Authorization": f"Bearer {one}"}) for one in (old, new)]
    assert [answer.status_code for answer in told] == [200, 200]
    async with client_of_app(app_of(store, ring(store, SECRET))) as client:
        assert (await client.get(f"{API}/operations", headers={"Authorization": f"Bearer {old}"})).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"exp": datetime(2020, 1, 1, tzinfo=UTC)},
        {"iss": "another"},
        {"sub": "nobody"},
        {"sub": "0" * 32},
        {"exp": None},
        {"jti": None},
    ],
)
async def test_a_token_that_is_not_quite_one_is_refused(
    store: Store, client: httpx.AsyncClient, change: dict[str, Any]
) -> None:
    token = (await client.post(TOKEN, headers=await a_key(store))).json()["access_token"]
    told = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="checking")
    forged = {name: value for name, value in {**told, **change}.items() if value is not None}
    for text in (jwt.encode(forged, SECRET, algorithm="HS256"), jwt.encode(told, None, algorithm="none")):
        answer = await client.get(f"{API}/operations", headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401


async def test_the_log_tells_who_changed_what_from_where(store: Store, client: httpx.AsyncClient) -> None:
    admin = await a_key(store)
    headers = {**admin, "X-Request-ID": "req-7"}
    made = (await client.post(KEYS, json={"name": "ci", "role": "viewer"}, headers=headers)).json()
    await client.delete(f"{KEYS}/{made['id']}", headers=admin)
    entries = (await client.get(AUDIT, headers=admin)).json()["items"]
    assert [(entry["action"], entry["author"]) for entry in entries] == [
        ("api_key.revoke", "the admin"),
        ("api_key.create", "the admin"),
        ("api_key.create", "somebody"),
    ]
    revoked, created, _ = entries
    assert (created["subject"], created["request_id"], created["address"]) == (made["id"], "req-7", "127.0.0.1")
    assert (created["before"], created["after"]["role"]) == (None, "viewer")
    assert revoked["before"] == {"revoked_at": None}
    for query, found in (({"subject": made["id"]}, 2), ({"action": "api_key.revoke"}, 1), ({"author": "somebody"}, 1)):
        assert (await client.get(AUDIT, params=query, headers=admin)).json()["total"] == found


async def test_where_nobody_is_asked_everybody_may_do_everything_by_a_name_of_this_machine(store: Store) -> None:
    async with client_of(store) as client:
        assert (await client.get(AUDIT)).status_code == 200
        assert (await client.post(KEYS, json={"name": "ci", "role": "viewer"})).status_code == 201
        assert (await client.get(AUDIT)).json()["items"][0]["author"] == "anybody"
        assert (await client.post(TOKEN)).status_code == 409
        assert (await client.get(AUDIT, headers={"Host": "evil.example"})).status_code == 421


async def test_where_keys_are_asked_for_the_server_may_have_any_name(store: Store, client: httpx.AsyncClient) -> None:
    headers = {**await a_key(store), "Host": "checking.corp.example"}
    assert (await client.get(f"{API}/operations", headers=headers)).status_code == 200
