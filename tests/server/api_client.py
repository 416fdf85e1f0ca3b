"""The API as a client sees it: real HTTP semantics, no socket, the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import httpx
from litestar import Litestar

from checking_core.plugin.host import PluginInfo
from checking_core.storage import Store
from checking_core.transport.base import Transport
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology
from checking_server.api.app import Parts, create_app
from checking_server.api.checkup import Checkup
from checking_server.engine import Engine
from checking_server.flow.accept import Plan, Plans
from checking_server.settings import ApiSettings, FlowSettings

UNPACED = ApiSettings(requests_per_minute=0)
HERE = "http://127.0.0.1:1337"
NOBODY_LISTENS = "postgresql+asyncpg://checking@127.0.0.1:1/nothing"


@asynccontextmanager
async def client_of(
    store: Store,
    transport: Transport | None = None,
    *,
    queues: Sequence[str] = (),
    rests_on_broker: bool = True,
    plugins: Sequence[PluginInfo] = (),
    patience: float = 1.5,
    **options: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API on this store; ``options`` are those of ``app_on``, and its parts."""
    asked = dict.fromkeys(queues, (transport or MemoryTransport()).state)
    checkup = Checkup(store, asked, rests_on_broker=rests_on_broker, plugins=plugins, patience=patience)
    parts = {name: options.pop(name) for name in ("keyring", "installed", "kept", "replay", "plan") if name in options}
    async with client_of_app(app_on(store, checkup, parts, **options)) as client:
        yield client


def app_on(
    store: Store,
    checkup: Checkup | None = None,
    parts: Mapping[str, Any] = MappingProxyType({}),
    *,
    settings: ApiSettings = UNPACED,
    **options: Any,
) -> Litestar:
    """The application on a store; of its parts those that are given, and nothing of plugins or a broker."""
    given = dict(parts)
    engine = engine_on(store, given.pop("plan", lambda *_: ()))
    checkup = checkup or Checkup(store, {}, plugins=())
    return create_app(Parts(engine=engine, checkup=checkup, **{"keyring": None, **given}), settings, **options)


def engine_on(store: Store, plan: Plan) -> Engine:
    """An engine that only takes in: no part of it runs."""
    settings = FlowSettings()
    return Engine(
        store=store,
        transports={},
        topology=Topology(),
        plans=Plans(plan, plan),
        settings=settings,
        max_in_flight=lambda _: 200,
    )


@asynccontextmanager
async def client_of_app(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client of this application."""
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # Litestar types its scope more narrowly
    async with _lifespan(app), httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield client


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    """The application's own, in a task of its own: a fixture is left in another task than it was entered in."""
    started, stop = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await stop.wait()

    async with asyncio.timeout(10):
        task = asyncio.create_task(live())
        await started.wait()
    yield
    stop.set()
    await task
