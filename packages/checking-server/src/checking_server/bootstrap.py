"""Settings become a running engine. The only file of the server that names concrete adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import structlog

from checking_core.errors import ConfigurationError
from checking_core.expectations import load, plan
from checking_core.plugin.host import PluginHost
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    BrokerRole,
    BrokerSettings,
    DatabaseSettings,
    HintsMode,
    LogSettings,
    PlanSettings,
    WorkerSettings,
    read,
)
from checking_core.storage import Store, migrate
from checking_core.transport.base import QueueState, Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.settings import TopologySettings
from checking_core.transport.topology import Topology
from checking_core.worker.loop import Worker
from checking_server.engine import Engine
from checking_server.flow.accept import Plan, Plans
from checking_server.flow.replay import Replay
from checking_server.roles import Role
from checking_server.settings import ApiSettings, FlowSettings, MetricsSettings

__all__ = ["Settings", "open_engine", "open_replay", "open_store", "planner", "plans_of", "replay_of", "watched_queues"]

log = structlog.get_logger(__name__)


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
    metrics: MetricsSettings
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
            metrics=read(MetricsSettings),
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


def plans_of(
    settings: PlanSettings,
    backends: Mapping[str, BackendSettings],
    *,
    max_retries: int,
    plugin_keys: Collection[str] = (),
) -> Plans:
    """How messages get their checks, and how a single hint does. As ``planner``."""
    alone = settings.model_copy(update={"expectations": (), "hints": HintsMode.ALWAYS})
    return Plans(
        of_message=planner(settings, backends, max_retries=max_retries, plugin_keys=plugin_keys),
        of_hint=planner(alone, backends, max_retries=max_retries),
    )


@asynccontextmanager
async def open_engine(
    settings: Settings, roles: Collection[Role], host: PluginHost | None = None
) -> AsyncIterator[Engine]:
    """The engine, ready to run: store open, transports started, a worker with every backend of this installation.

    Args:
        settings: of everything.
        roles: the parts that run here; see ``chosen_roles``. Those of the flow need ``flow_lock``.
        host: the plugins, if they are loaded already.

    Raises:
        ConfigurationError: a setting, a plugin's setting or an expectations file is wrong.
        UnavailableError: the database or the broker does not answer.
    """
    host = host or PluginHost.load()
    backends = host.backends(settings.backends)
    retries, keys = settings.worker.max_retries, host.config_keys
    plans = plans_of(settings.plan, backends, max_retries=retries, plugin_keys=keys)
    detectors = {name: host.create(name, backend) for name, backend in backends.items() if Role.WORKER in roles}
    topology = settings.topology.topology()
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(open_store(settings.database))
        transports = await _started(opened, settings.broker, topology, roles)
        worker = None
        if Role.WORKER in roles:
            drain = settings.flow.drain_timeout
            worker = Worker(transports[Role.WORKER], topology, detectors, settings.worker, drain=drain)
        engine = Engine(
            store=store,
            transports=transports,
            topology=topology,
            plans=plans,
            settings=settings.flow,
            max_in_flight=lambda name: backends[name].max_in_flight if name in backends else _UNKNOWN_IN_FLIGHT,
            worker=worker,
            takes_over=store.embedded and not settings.broker.configured and Role.DISPATCH in roles,
        )
        engine.metrics.know(backends)
        yield engine


async def _started(
    opened: AsyncExitStack, broker: BrokerSettings, topology: Topology, roles: Collection[Role]
) -> dict[Role, Transport]:
    """A transport for each role: those of one user of the broker share one, and in one process all of them do."""
    by_url: dict[str | None, Transport] = {}
    transports = {}
    for role in sorted(set(roles) - {Role.API}):
        url = broker.url_for(role.broker_role)
        if url not in by_url:
            by_url[url] = create_transport(url, topology)
            opened.push_async_callback(by_url[url].close)
            await by_url[url].start()
        transports[role] = by_url[url]
    return transports


@asynccontextmanager
async def watched_queues(
    settings: Settings, engine: Engine, host: PluginHost
) -> AsyncIterator[Mapping[str, Callable[[str], Awaitable[QueueState]]]]:
    """The queues whose length the API tells, and whom it asks: those of this process, else all, as the monitor.

    The API itself rests on no broker: nobody is asked before somebody looks, and one that is not configured, or whose
    monitor has no password here, has no queues.
    """
    broker, topology = settings.broker, settings.topology.topology()
    if engine.queues or not broker.configured:
        yield engine.queues
        return
    try:
        transport = create_transport(broker.url_for(Role.API.broker_role), topology)
    except ConfigurationError as error:
        log.warning("broker_not_watched", problem=str(error))
        yield {}
        return

    async def ask(queue: str) -> QueueState:
        await transport.start()
        return await transport.state(queue)

    backends = host.backends(settings.backends).items()
    lanes = {topology.task_queue(backend.detection_type, name) for name, backend in backends}
    queues = {topology.dead_queue, *(binding.queue for binding in topology.bindings()), *lanes}
    try:
        yield dict.fromkeys(sorted(queues), ask)
    finally:
        await transport.close()


@asynccontextmanager
async def open_replay(broker: BrokerSettings, topology: TopologySettings, store: Store) -> AsyncIterator[Replay]:
    """What sends dead letters again, as the user who sets the broker up: no role may publish to every queue.

    Raises:
        ConfigurationError: no broker is configured, or that user has no password here.
    """
    url = broker.url_for(BrokerRole.ADMIN)
    if url is None:
        raise ConfigurationError(
            "no broker is configured, and the queues of a process are gone with it;"
            " to accept a message again: checking dead-letters show ID --raw | checking ingest -"
        )
    names = topology.topology()
    transport = create_transport(url, names)
    try:
        yield Replay(store, transport, names)
    finally:
        await transport.close()


@asynccontextmanager
async def replay_of(settings: Settings, engine: Engine) -> AsyncIterator[Replay | None]:
    """What this process sends dead letters again with: its own queues, or the broker if it may."""
    async with AsyncExitStack() as opened:
        replay = None if settings.broker.configured else engine.replay
        if settings.broker.configured:
            try:
                replay = await opened.enter_async_context(open_replay(settings.broker, settings.topology, engine.store))
            except ConfigurationError as error:
                log.warning("dead_letters_stay", problem=str(error))
        yield replay


_UNKNOWN_IN_FLIGHT = 200
"""A backend that a message names and no setting knows gets what a configured one gets by default."""
