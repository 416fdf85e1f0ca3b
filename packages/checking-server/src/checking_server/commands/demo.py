"""``checking demo``: a bundled operation through the whole engine, on nothing but this machine."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import SecretStr
from rich.console import Console

from checking_core import log
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
from checking_server.feed import Feed
from checking_server.flow.explain import explain
from checking_server.flow.report import report
from checking_server.roles import Role
from checking_server.settings import ApiSettings, FlowSettings

__all__ = ["demo"]

_PREFIX = "CHECKING_DEMO_"


async def demo(
    *,
    keep: Annotated[Path | None, Parameter(help="Keep the database in this file, for checking report.")] = None,
) -> int:
    """Run a bundled operation through the whole engine and print what the defenders saw of it.

    Fifteen messages of a red team's tool, ten expectations, two mock backends, SQLite and the in-process transport:
    blocked, alerted, matched, logged, missed, late, inconclusive, each for its reason, and one of them explained. Takes
    about ten seconds and leaves nothing behind.
    """
    with tempfile.TemporaryDirectory(prefix="checking-demo-") as folder:
        await _run(_settings(keep or Path(folder) / "demo.db"))
    console = terminal()
    say(console, f"The files behind this: {Path(bundle.__file__).parent}")
    if keep is not None:
        say(console, f"This report again: CHECKING_DATABASE_URL=sqlite:///{keep} checking report latest")
        say(console, f"Any other step explained: CHECKING_DATABASE_URL=sqlite:///{keep} checking explain latest STEP")
    say(console, "Your own operation: checking ingest FILE --expectations FILE, then checking report latest")
    return 0


async def _run(settings: Settings) -> None:
    log.configure(settings.log.level, settings.log.format, settings.log.file)
    progress = Console(stderr=True)
    async with open_engine(settings, frozenset(Role)) as engine:
        feed = Feed(engine.accept, settings.flow.batch_size)
        async with engine.running():
            await feed.take(bundle.messages(datetime.now(UTC)))
            await carry_out(engine, list(feed.operations), progress, wait=True)
        await _show(engine.store, terminal())


async def _show(store: Store, console: Console) -> None:
    """The report, and of the first check that came near its alert everything that is known."""
    found = await report(store, "latest")
    show(found, console)
    near = next(line.check for line in found.lines if line.check is not None and line.check.near_misses)
    console.print()
    say(console, f"One verdict explained: checking explain {short_id(near)}", "dim")
    console.print()
    show_explained(await explain(store, str(near.id)), console)
    console.print()


def _settings(database: Path) -> Settings:
    """Everything said, nothing read from the environment: the demo is the same on every machine."""
    os.environ[f"{_PREFIX}SCENARIO"] = str(bundle.scenario())
    backend = BackendSettings(plugin="mock", env_prefix=_PREFIX)
    return Settings(
        database=DatabaseSettings(url=SecretStr(f"sqlite:///{database}")),
        broker=BrokerSettings(url=None),
        topology=TopologySettings(),
        backends=BackendsSettings(backends=dict.fromkeys(bundle.BACKENDS, backend)),
        plan=PlanSettings(expectations=(str(bundle.expectations()),)),
        worker=WorkerSettings(),
        flow=FlowSettings(),
        api=ApiSettings(),
        log=LogSettings(level="ERROR"),
    )
