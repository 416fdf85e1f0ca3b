"""``checking serve``: the API, the stations and the worker in one process, until told to stop."""

from __future__ import annotations

import socket
from typing import Annotated

import structlog
from cyclopts import Parameter
from cyclopts.validators import Number

from checking_core import log
from checking_core.errors import ConfigurationError
from checking_core.plugin.host import PluginHost
from checking_core.worker.signals import stopped_by_signals
from checking_server.bootstrap import Settings, open_engine
from checking_server.engine import Engine
from checking_server.listening import listen, url_of

__all__ = ["serve"]

_log = structlog.get_logger(__name__)

_GRACE = 5.0
"""Seconds beyond the drain time for closing what is open."""


async def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on, instead of CHECKING_API_HOST.")] = None,
    port: Annotated[
        int | None,
        Parameter(help="TCP port, instead of CHECKING_API_PORT; 0 for any.", validator=Number(gte=0, lte=65535)),
    ] = None,
) -> None:
    """Run the API, the stations and the worker until told to stop.

    SIGTERM or Ctrl-C stops it: it accepts nothing more, ends what it is doing, and keeps the rest for the next start.
    A second Ctrl-C leaves at once; nothing is lost by that either.
    """
    settings = Settings.from_environment()
    log.configure(settings.log.level, settings.log.format, settings.log.file)
    plugins = PluginHost.load()
    host = host or settings.api.host
    with listen(host, settings.api.port if port is None else port) as listener:
        async with open_engine(settings, plugins) as engine:
            if not engine.owns_flow:
                raise ConfigurationError(
                    f"another process works on {settings.database.url.get_secret_value()} already; stop it,"
                    " or give this one a database of its own with CHECKING_DATABASE_URL"
                )
            await _serve(engine, plugins, listener, host, drain=settings.flow.drain_timeout)


async def _serve(engine: Engine, plugins: PluginHost, listener: socket.socket, host: str, *, drain: float) -> None:
    from checking_server.api.app import SCHEMA_PATH, create_app
    from checking_server.api.checkup import Checkup
    from checking_server.api.guards import LOOPBACK_NAMES
    from checking_server.api.server import ApiServer

    url = url_of(listener)
    checkup = Checkup(engine.store, engine.transport, queues=engine.queues, plugins=plugins.plugins)
    app = create_app(engine.store, checkup, names={*LOOPBACK_NAMES, host.lower()})
    server = ApiServer(app, drain=drain, on_ready=lambda: print(_READY.format(url=url, docs=SCHEMA_PATH), flush=True))
    with stopped_by_signals(server.stop, within=drain + _GRACE):
        async with engine.running(), app.lifespan():
            await server.serve([listener])
    _log.info("stopped")


_READY = "checking serves on {url} (docs at {url}{docs})"
