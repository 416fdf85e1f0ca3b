"""``checking serve``: the API, the stations and the worker until told to stop, all of them or some in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import structlog
from cyclopts import Parameter
from cyclopts.validators import Number

from checking_core import log
from checking_core.errors import ConfigurationError
from checking_core.plugin.host import PluginHost
from checking_core.storage import Store
from checking_core.worker.signals import stopped_by_signals
from checking_server.bootstrap import Settings, open_engine, replay_of, watched_queues
from checking_server.collecting import collect_seldom
from checking_server.engine import Engine
from checking_server.flow_lock import flow_lock
from checking_server.installed import Installed
from checking_server.listening import listen, url_of
from checking_server.roles import FLOW, Role, chosen_roles, roles_named
from checking_server.settings import ApiSettings

if TYPE_CHECKING:
    from checking_server.access import Keyring

__all__ = ["serve"]

_log = structlog.get_logger(__name__)

_GRACE = 5.0
"""Seconds beyond the drain time for closing what is open."""


async def serve(
    *,
    role: Annotated[
        tuple[str, ...],
        Parameter(
            help="Parts to run, with commas between: api, accept, dispatch, gather, expire, worker.", negative=""
        ),
    ] = (),
    host: Annotated[str | None, Parameter(help="Address to listen on, instead of CHECKING_API_HOST.")] = None,
    port: Annotated[
        int | None,
        Parameter(help="TCP port, instead of CHECKING_API_PORT; 0 for any.", validator=Number(gte=0, lte=65535)),
    ] = None,
    no_auth: Annotated[
        bool,
        Parameter(help="Ask nobody for a key: on a loopback address only, where every user may do all.", negative=""),
    ] = False,
) -> None:
    """Run the API, the stations and the worker until told to stop.

    Over a broker the parts may run in processes of their own (--role), each in several; without --role all of them run
    but the worker, which is a process of its own then: checking-worker run.

    SIGTERM or Ctrl-C stops it: it accepts nothing more, ends what it is doing, and keeps the rest for the next start.
    A second Ctrl-C leaves at once; nothing is lost by that either.
    """
    settings = Settings.from_environment()
    log.configure(settings.log.level, settings.log.format, settings.log.file)
    roles = chosen_roles(roles_named(role), broker=settings.broker.configured)
    plugins = PluginHost.load()
    with ExitStack() as held:
        listener = None
        if Role.API in roles:
            address = host or settings.api.host
            listener = held.enter_context(
                listen(address, settings.api.port if port is None else port, loopback=no_auth)
            )
        held.enter_context(_flow_of_its_own(settings, roles))
        async with open_engine(settings, roles, plugins) as engine:
            if listener is None:
                held.enter_context(engine.metrics.shown(settings.metrics.host, settings.metrics.port))
                await _work(engine, roles, drain=settings.flow.drain_timeout)
            else:
                await _serve(settings, engine, plugins, listener, address, no_auth=no_auth)


@contextmanager
def _flow_of_its_own(settings: Settings, roles: Collection[Role]) -> Iterator[None]:
    """An embedded store belongs to one process that works on it; to others it is there to be read."""
    if FLOW.isdisjoint(roles):
        yield
        return
    with flow_lock(settings.database.async_url) as held:
        if not held:
            raise ConfigurationError(
                f"another process works on {settings.database.url.get_secret_value()} already; stop it,"
                " or give this one a database of its own with CHECKING_DATABASE_URL."
                " Only on PostgreSQL several processes share one"
            )
        yield


async def _work(engine: Engine, roles: Collection[Role], *, drain: float) -> None:
    """Run without an API."""
    stop = asyncio.Event()
    collect_seldom()
    with stopped_by_signals(stop.set, within=drain + _GRACE):
        async with engine.running():
            print(f"checking runs {', '.join(sorted(roles))}", flush=True)
            await stop.wait()
    _log.info("stopped")


async def _keyring(store: Store, settings: ApiSettings) -> Keyring:
    from checking_server.access import Keyring

    signing = [secret.get_secret_value() for secret in (settings.token_secret, settings.token_secret_before) if secret]
    async with store.read() as uow:
        known = (await uow.api_keys.list()).total
    if not known:
        _log.warning("no_api_key", next="checking keys create NAME --role admin")
    return Keyring(store, signing=signing, lifetime=timedelta(minutes=settings.token_minutes))


async def _serve(
    settings: Settings,
    engine: Engine,
    plugins: PluginHost,
    listener: socket.socket,
    host: str,
    *,
    no_auth: bool,
) -> None:
    from checking_server.api.app import DOCS, SCHEMA_PATH, Parts, create_app
    from checking_server.api.checkup import Checkup
    from checking_server.api.guards import LOOPBACK_NAMES
    from checking_server.api.server import ApiServer

    if no_auth:
        _log.warning("no_access_control", meaning="every user of this machine may do everything")
    async with watched_queues(settings, engine, plugins) as queues, replay_of(settings, engine) as replay:
        parts = Parts(
            engine=engine,
            checkup=Checkup(engine.store, queues, rests_on_broker=engine.rests_on_broker, plugins=plugins.plugins),
            keyring=None if no_auth else await _keyring(engine.store, settings.api),
            installed=Installed(plugins, plugins.backends(settings.backends)),
            replay=replay,
        )
        app = create_app(parts, settings.api, names={*LOOPBACK_NAMES, host.lower()})
        ready, drain = _READY.format(url=url_of(listener), docs=SCHEMA_PATH + DOCS), settings.flow.drain_timeout
        server = ApiServer(
            app,
            drain=drain,
            on_ready=lambda: print(ready, flush=True),
            on_stop=parts.streams.close,
            proxies=settings.api.proxies,
        )
        collect_seldom()
        with stopped_by_signals(server.stop, within=drain + _GRACE):
            async with engine.running(), app.lifespan():
                await server.serve([listener])
    _log.info("stopped")


_READY = "checking serves on {url} (docs at {url}{docs})"
