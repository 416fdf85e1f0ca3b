"""Plugins over HTTP: what is installed, what may be asked, and whether a backend answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from checking_core.plugin.host import PluginHost
from checking_core.settings import BackendSettings
from checking_core.storage import Store, migrate
from checking_server.installed import Installed

from .api_client import client_of

PLUGINS = "/api/v1/plugins"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
    await migrate.upgrade(url)
    backends = {"soc": BackendSettings(plugin="mock"), "gone": BackendSettings(plugin="nowhere")}
    async with Store(url) as store, client_of(store, installed=Installed(PluginHost.load(), backends)) as opened:
        yield opened


async def test_plugins_and_backends_are_listed_with_what_they_answer(client: httpx.AsyncClient) -> None:
    found = (await client.get(PLUGINS)).json()
    assert "mock" in [plugin["name"] for plugin in found["plugins"]]
    soc, gone = found["backends"]
    assert (soc["name"], soc["plugin"], "alert" in soc["answers"]) == ("soc", "mock", True)
    assert (gone["name"], gone["answers"]) == ("gone", [])


@pytest.mark.parametrize("name", ["mock", "soc"])
async def test_a_platform_and_a_backend_tell_what_a_check_may_say(client: httpx.AsyncClient, name: str) -> None:
    schema = (await client.get(f"{PLUGINS}/{name}/schema")).json()
    assert schema["type"] == "object"
    assert {"alert", "telemetry", "mock"} <= schema["properties"].keys()


async def test_a_backend_says_whether_it_can_be_reached(client: httpx.AsyncClient) -> None:
    told = (await client.post(f"{PLUGINS}/soc/self-check")).json()
    assert (told["backend"], told["ok"]) == ("soc", None)
    told = (await client.post(f"{PLUGINS}/gone/self-check")).json()
    assert (told["ok"], "no plugin nowhere is installed" in told["detail"]) == (False, True)


@pytest.mark.parametrize("path", ["GET nobody/schema", "GET gone/schema", "POST nobody/self-check"])
async def test_what_is_not_installed_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    method, _, rest = path.partition(" ")
    assert (await client.request(method, f"{PLUGINS}/{rest}")).status_code == 404
