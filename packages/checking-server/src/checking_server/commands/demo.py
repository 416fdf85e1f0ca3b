"""``checking demo``: operations through the whole engine, on nothing but this machine."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, cast
from uuid import UUID

import msgspec
from cyclopts import Parameter
from pydantic import SecretStr
from rich.console import Console

from checking_core import log
from checking_core.contracts import Met
from checking_core.contracts.detection_config import TimingOverride
from checking_core.errors import ConfigurationError
from checking_core.plugin import DemoRequest, PluginHost, Shown
from checking_core.plugin.loader import foreign
from checking_core.report import OperationReport
from checking_core.report.words import short_id
from checking_core.settings import (
    BackendSettings,
    BackendsSettings,
    BrokerSettings,
    DatabaseSettings,
    LogSettings,
    PlanSettings,
    WorkerSettings,
)
from checking_core.storage import Store
from checking_core.transport.settings import TopologySettings
from checking_server import demo as bundle
from checking_server.bootstrap import Settings, open_engine
from checking_server.commands.explain import show_explained
from checking_server.commands.ingest import carry_out
from checking_server.commands.report_table import show
from checking_server.commands.terminal import say, terminal
from checking_server.engine import Engine
from checking_server.feed import Feed
from checking_server.flow.explain import explain
from checking_server.flow.report import report
from checking_server.readers.files import RawMessage
from checking_server.roles import Role
from checking_server.settings import ApiSettings, FlowSettings, MetricsSettings

__all__ = ["demo"]

_PREFIX = "CHECKING_DEMO_"
_AT_ONCE = TimingOverride(settle=0, deadline=3, poll_interval=1)
_PATIENCE = 8.0
"""Seconds: what is not there by then never comes, for all of it is recorded or played."""
_SQLITE = b"SQLite format 3\0"
_INSTALL = "pip install checking-plugin-sigma"


async def demo(
    *,
    datasets: Annotated[Path | None, Parameter(help="Show the attacks of this clone of Security-Datasets.")] = None,
    rules: Annotated[Path | None, Parameter(help="Sigma rules to judge them by, such as a clone of SigmaHQ.")] = None,
    keep: Annotated[Path | None, Parameter(help="Keep the database in this file, for checking report.")] = None,
) -> int:
    """Run operations through the whole engine and print what the defenders saw of them.

    The first was really carried out: Sigma rules are evaluated over what it left in the logs. The second is played by
    mock backends, for what no recording can show: blocked, alerted, late, backends that are away or let nobody in.
    SQLite and the in-process transport; takes about ten seconds and leaves nothing behind.
    """
    host = PluginHost.load()
    console = terminal()
    if keep is not None:
        _prepare(keep)
    with tempfile.TemporaryDirectory(prefix="checking-demo-") as folder:
        request = DemoRequest(folder=Path(folder), ended=datetime.now(UTC), datasets=datasets, rules=rules)
        with _reading():
            operations = list(_recorded(host, request))
        if not (datasets or rules):
            operations.append(_played(request.ended))
        if len(operations) == 1 and not (datasets or rules):
            say(console, f"An operation that was really carried out is shown as well with: {_INSTALL}")
            console.print()
        await _run(_settings(keep or Path(folder) / "demo.db", operations), host, operations)
    if not (datasets or rules):
        say(console, f"The files behind the played one: {Path(bundle.__file__).parent}")
    if keep is not None:
        say(console, f"The newest report again: CHECKING_DATABASE_URL=sqlite:///{keep} checking report latest")
        say(console, f"Any other step explained: CHECKING_DATABASE_URL=sqlite:///{keep} checking explain latest STEP")
    say(console, "Your own operation: checking ingest FILE --expectations FILE, then checking report latest")
    return 0


def _prepare(keep: Path) -> None:
    """Refuse what is no database at once, and by the name of the option."""
    try:
        keep.parent.mkdir(parents=True, exist_ok=True)
        with keep.open("ab+") as file:
            file.seek(0)
            begins = file.read(len(_SQLITE))
    except OSError as error:
        raise ConfigurationError(f"--keep: {keep}: {error.strerror}") from error
    if begins not in (b"", _SQLITE):
        raise ConfigurationError(f"--keep: {keep}: is a file of another kind; name a new one")


@contextmanager
def _reading() -> Iterator[None]:
    """A sign of life at a terminal, for gigabytes take their time; Ctrl-C ends it at once, as nothing here awaits."""
    console = Console(stderr=True)
    of_the_loop = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with console.status("reading recordings") if console.is_terminal else nullcontext():
            yield
    finally:
        signal.signal(signal.SIGINT, of_the_loop)


def _recorded(host: PluginHost, request: DemoRequest) -> Iterator[Shown]:
    """What the installed plugins have to show."""
    for plugin, demo in host.demos.items():
        prepare = foreign(f"plugin {plugin} cannot show anything", partial(_target, demo.target))
        yield prepare(request)
    if not host.demos and (request.datasets or request.rules):
        raise ConfigurationError(f"--datasets and --rules need a plugin that evaluates rules: {_INSTALL}")


def _target(name: str) -> Callable[[DemoRequest], Shown]:
    module, _, function = name.partition(":")
    return cast("Callable[[DemoRequest], Shown]", getattr(import_module(module), function))


def _played(ended: datetime) -> Shown:
    return Shown(
        platform="mock",
        messages=bundle.messages(ended),
        expectations=bundle.expectations(),
        settings={"SCENARIO": str(bundle.scenario())},
        remark="Played by two mock backends, for what no recording can show.",
    )


async def _run(settings: Settings, host: PluginHost, operations: Sequence[Shown]) -> None:
    log.configure(settings.log.level, settings.log.format, settings.log.file)
    progress, console = Console(stderr=True), terminal()
    async with open_engine(settings, frozenset(Role), host) as engine:
        async with engine.running():
            feeds = [await _fed(engine, shown, settings.flow.batch_size) for shown in operations]
            await carry_out(engine, [operation for feed in feeds for operation in feed.operations], progress, wait=True)
        for shown, feed in zip(operations, feeds, strict=True):
            say(console, shown.remark, "dim")
            for problem in feed.rejected:
                say(console, problem, "red")
            for operation in feed.operations:
                await _show(engine.store, operation, console)


async def _fed(engine: Engine, shown: Shown, batch_size: int) -> Feed:
    feed = Feed(engine.accept, batch_size)
    numbered = enumerate(shown.messages, 1)
    await feed.take(RawMessage(msgspec.json.encode(told), f"demo:{number}") for number, told in numbered)
    return feed


async def _show(store: Store, operation: UUID, console: Console) -> None:
    """The report, and of the check that is most worth it everything that is known."""
    found = await report(store, str(operation))
    show(found, console)
    if told := _telling(found):
        console.print()
        say(console, f"One verdict explained: checking explain {told}", "dim")
        console.print()
        show_explained(await explain(store, told), console)
    console.print()


def _telling(found: OperationReport) -> str | None:
    """The first check that does not meet what is wanted, and says why: by what came near, or by what is there."""
    missed = [line.check for line in found.lines if line.check is not None and line.check.met is Met.NO]
    return next((short_id(check) for check in missed if check.near_misses or check.evidence), None)


def _settings(database: Path, operations: Sequence[Shown]) -> Settings:
    """Everything said, nothing read from the environment: the demo is the same on every machine."""
    return Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{database}")),
        broker=BrokerSettings(url=None),
        topology=TopologySettings(),
        backends=BackendsSettings(backends=_backends(operations)),
        plan=PlanSettings(expectations=tuple(str(shown.expectations) for shown in operations)),
        worker=WorkerSettings(),
        flow=FlowSettings(patience=_PATIENCE),
        api=ApiSettings(),
        metrics=MetricsSettings(),
        log=LogSettings(level="ERROR"),
    )


def _backends(operations: Sequence[Shown]) -> dict[str, BackendSettings]:
    backends: dict[str, BackendSettings] = {}
    for shown in operations:
        prefix = f"{_PREFIX}{shown.platform.upper()}_"
        os.environ.update({f"{prefix}{name}": value for name, value in shown.settings.items()})
        backend = BackendSettings(plugin=shown.platform, env_prefix=prefix, timing=_AT_ONCE)
        backends |= dict.fromkeys(bundle.BACKENDS if shown.platform == "mock" else (shown.platform,), backend)
    return backends
