"""What ``checking-worker`` does: settings become a worker that serves, or detectors that check themselves."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches

import structlog

from checking_core import log
from checking_core.errors import ConfigurationError, NotFoundError, first_of_ours
from checking_core.plugin.base import Health
from checking_core.plugin.host import PluginHost
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    BrokerRole,
    BrokerSettings,
    LogSettings,
    WorkerSettings,
    read,
)
from checking_core.transport.base import Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.settings import TopologySettings
from checking_core.worker.loop import Worker
from checking_core.worker.self_check import health_of
from checking_core.worker.signals import stopped_by_signals
from checking_core.worker.watchdog import Watchdog

__all__ = ["check", "run"]

_log = structlog.get_logger(__name__)

_GRACE = 10.0
"""Seconds beyond the drain time for closing what is open."""

_HEALTH = {True: "healthy", False: "NOT healthy", None: "health unknown"}


def run(
    names: Collection[str] = (), *, concurrency: int | None = None, host: str | None = None, drain: float, grace: float
) -> None:
    """Serve backends until SIGTERM or Ctrl-C.

    Args:
        names: of the backends; every configured one by default.
        concurrency: looks at a time for each queue, in place of the setting.
        host: name of this host, for detectors of agent types.
        drain: seconds that running looks have after the stop.
        grace: seconds beyond its time-out that an attempt may block the event loop.

    Raises:
        ConfigurationError, NotFoundError: a setting, a plugin's setting or a name is wrong, or no broker is set.
        BrokerUnavailableError: the broker does not answer.
    """
    _log_as_told()
    topology, settings = read(TopologySettings).topology(), read(WorkerSettings)
    if concurrency is not None:
        settings = settings.model_copy(update={"concurrency": concurrency})
    transport = create_transport(_broker_url(), topology)
    plugins = PluginHost.load()
    detectors = {name: plugins.create(name, backend) for name, backend in _chosen(plugins, names).items()}

    async def serve() -> None:
        watchdog = Watchdog(grace=grace)
        worker = Worker(transport, topology, detectors, settings, host=host, drain=drain, watchdog=watchdog)
        await _serve(worker, transport, watchdog, sorted(detectors), within=drain + _GRACE)

    gc.freeze()  # what is loaded by now stays: no collection has to look at it again
    try:
        asyncio.run(serve())
    except BaseExceptionGroup as group:
        raise first_of_ours(group) from group


def check(names: Collection[str] = ()) -> int:
    """Let the detector of each backend check itself, and print a line for each.

    Args:
        names: of the backends; every configured one by default.

    Returns:
        The exit code: 1 if a backend cannot be used.

    Raises:
        ConfigurationError, NotFoundError: a setting or a name is wrong.
    """
    _log_as_told()
    plugins = PluginHost.load()
    usable = True
    for name, backend in _chosen(plugins, names).items():
        try:
            health = health_of(plugins.create(name, backend))
        except ConfigurationError as error:
            health = Health(ok=False, detail=str(error))
        _print(f"{name}: {_HEALTH[health.ok]}: {health.detail}")
        usable = usable and health.ok is not False
    return 0 if usable else 1


async def _serve(
    worker: Worker, transport: Transport, watchdog: Watchdog, backends: list[str], *, within: float
) -> None:
    async def announce() -> None:
        await worker.serving.wait()
        _print(f"checking-worker serves {', '.join(backends)}")

    stop = asyncio.Event()
    announcement = asyncio.create_task(announce())
    with stopped_by_signals(stop.set, within=within), watchdog.watching():
        try:
            await transport.start()
            await worker.run(stop)
        finally:
            announcement.cancel()
            await transport.close()


def _log_as_told() -> None:
    settings = read(LogSettings)
    log.configure(settings.level, settings.format, settings.file)


def _broker_url() -> str:
    url = read(BrokerSettings).url_for(BrokerRole.WORKER)
    if url is None:
        raise ConfigurationError(
            "no broker is set, so there is nothing to serve; set CHECKING_AMQP_URL, or RABBITMQ_HOST and"
            " RABBITMQ_WORKER_PASS"
        )
    return url


def _chosen(plugins: PluginHost, names: Collection[str]) -> Mapping[str, BackendSettings]:
    """The configured backends of these names; all of them without any."""
    for plugin in plugins.plugins:
        if plugin.problem:
            _log.warning("plugin_broken", plugin=plugin.name, distribution=plugin.distribution, problem=plugin.problem)
    backends = plugins.backends(read(BackendsSettings))
    if not backends:
        raise ConfigurationError("no plugin is usable here, so there is no backend; checking-plugin-mock is one to try")
    for name in names:
        if name not in backends:
            near = get_close_matches(name, backends, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(backends))}"
            raise NotFoundError(f"no backend is called {name!r}; {hint}")
    return {name: backends[name] for name in names} if names else backends


def _print(line: str) -> None:
    from checking_core.report.escape import visible

    sys.stdout.write(f"{visible(line)}\n")
    sys.stdout.flush()
