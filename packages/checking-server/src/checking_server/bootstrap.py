"""Settings become a running engine. The only file of the server that names concrete adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from checking_core.errors import ConfigurationError
from checking_core.expectations import load, plan
from checking_core.plugin.host import PluginHost
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    BrokerSettings,
    DatabaseSettings,
    LogSettings,
    PlanSettings,
    WorkerSettings,
    read,
)
from checking_core.storage import Store, migrate
from checking_core.transport.factory import create_transport
from checking_core.transport.settings import TopologySettings
from checking_core.worker.loop import Worker
from checking_server.engine import Engine
from checking_server.flow.accept import Plan
from checking_server.flow_lock import flow_lock
from checking_server.settings import ApiSettings, FlowSettings

__all__ = ["Settings", "open_engine", "open_store", "planner"]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the server reads from its environment, read once."""

    database: DatabaseSettings
    broker: BrokerSettings
    topology: TopologySettings
    backends: BackendsSettings
    plan: PlanSettings
    worker: WorkerSettings
    flow: FlowSettings
    api: ApiSettings
    log: LogSettings

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment and ``.env``. Raises ``ConfigurationError`` naming the variable."""
        return cls(
            database=read(DatabaseSettings),
            broker=read(BrokerSettings),
            topology=read(TopologySettings),
            backends=read(BackendsSettings),
            plan=read(PlanSettings),
            worker=read(WorkerSettings),
            flow=read(FlowSettings),
            api=read(ApiSettings),
            log=read(LogSettings),
        )


@asynccontextmanager
async def open_store(database: DatabaseSettings) -> AsyncIterator[Store]:
    """The store, its schema current: SQLite migrates by itself, PostgreSQL is never changed behind your back.

    Raises:
        StoreUnavailableError: the database does not answer.
        SchemaOutdatedError: run ``checking db upgrade``.
    """
    async with Store(database.async_url) as store:
        if store.embedded:
            await migrate.upgrade(store.url)
        else:
            await migrate.check(store.url)
        yield store


def planner(
    settings: PlanSettings,
    backends: Mapping[str, BackendSettings],
    *,
    max_retries: int,
    plugin_keys: Collection[str] = (),
) -> Plan:
    """The expectations files as a function from an execution to its checks.

    Args:
        settings: which files, and when hints count.
        backends: the configured ones.
        max_retries: where neither expectation nor hint says.
        plugin_keys: keys of an expectation that installed plugins read.

    Raises:
        ConfigurationError: a file is missing or wrong, or a backend that is named is not configured.
    """
    if settings.default_backend is not None and settings.default_backend not in backends:
        known = ", ".join(sorted(backends)) or "none"
        raise ConfigurationError(
            f"CHECKING_DEFAULT_BACKEND: {settings.default_backend} is no configured backend; configured: {known}"
        )
    return partial(
        plan,
        expectations=load([Path(path) for path in settings.expectations], plugin_keys=plugin_keys, backends=backends),
        backends=backends,
        hints=settings.hints,
        default_backend=settings.default_backend,
        max_retries=max_retries,
    )


@asynccontextmanager
async def open_engine(settings: Settings, host: PluginHost | None = None) -> AsyncIterator[Engine]:
    """The engine, ready to run: store open, transport started, worker with every backend of this installation.

    Where another process runs the flow of the same embedded store, ``engine.owns_flow`` is false: accept only.

    Args:
        settings: of everything.
        host: the plugins, if they are loaded already.

    Raises:
        ConfigurationError: a setting, a plugin's setting or an expectations file is wrong.
        UnavailableError: the database or the broker does not answer.
    """
    host = host or PluginHost.load()
    backends = host.backends(settings.backends)
    retries, keys = settings.worker.max_retries, host.config_keys
    plan_checks = planner(settings.plan, backends, max_retries=retries, plugin_keys=keys)
    detectors = {name: host.create(name, backend) for name, backend in backends.items()}
    topology = settings.topology.topology()
    transport = create_transport(settings.broker.url_for(None), topology)
    async with AsyncExitStack() as opened:
        owns_flow = opened.enter_context(flow_lock(settings.database.async_url))
        store = await opened.enter_async_context(open_store(settings.database))
        opened.push_async_callback(transport.close)
        await transport.start()
        yield Engine(
            store=store,
            transport=transport,
            topology=topology,
            plan=plan_checks,
            settings=settings.flow,
            max_in_flight=lambda name: backends[name].max_in_flight if name in backends else _UNKNOWN_IN_FLIGHT,
            worker=Worker(transport, topology, detectors, settings.worker, drain=settings.flow.drain_timeout),
            owns_flow=owns_flow,
        )


_UNKNOWN_IN_FLIGHT = 200
"""A backend that a message names and no setting knows gets what a configured one gets by default."""
