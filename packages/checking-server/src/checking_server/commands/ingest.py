"""``checking ingest``: files of red-team messages through accept and, without a server, through the whole flow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from checking_core.errors import ConfigurationError
from checking_core.storage.checks import Progress as CheckProgress
from checking_server.bootstrap import Settings, open_engine
from checking_server.commands.arguments import Source, refuse_missing
from checking_server.commands.logs import log_problems
from checking_server.commands.terminal import say, terminal
from checking_server.engine import Engine
from checking_server.feed import Feed
from checking_server.flow_lock import flow_lock
from checking_server.readers.files import read_messages
from checking_server.roles import Role

__all__ = ["carry_out", "ingest", "with_expectations"]

_SHOWN_REJECTIONS = 20


async def ingest(
    *files: Annotated[Source, Parameter(help="JSON, JSONL (also .gz), a Caldera operation or report; - for stdin.")],
    expectations: Annotated[
        tuple[Path, ...], Parameter(help="File or folder; instead of CHECKING_EXPECTATIONS.", negative="")
    ] = (),
    wait: Annotated[bool, Parameter(help="Stay until every check is closed.", negative="")] = False,
) -> int:
    """Accept what the red team did, and check it.

    The same message again changes nothing. Without a broker, and without a server on the same database, the checks
    that are due are carried out at once; one that has to be asked again later waits in the database for the next run or
    for checking serve. Exit code 1 if any message was rejected.
    """
    _refuse_missing(files)
    settings = with_expectations(Settings.from_environment(), expectations)
    log_problems(settings.log)
    console = terminal(sys.stderr)
    with nullcontext(False) if settings.broker.configured else flow_lock(settings.database.async_url) as alone:
        async with open_engine(settings, frozenset(Role) if alone else frozenset()) as engine:
            feed = Feed(engine.accept, settings.flow.batch_size)
            outlook = "The server that runs on this database carries the checks out."
            async with engine.running():
                await _feed_files(feed, files, console)
                if engine.dispatches or wait:
                    outlook = _outlook(await carry_out(engine, list(feed.operations), console, wait=wait))
    _tell(feed, outlook, console)
    return 1 if feed.rejected else 0


def _refuse_missing(files: Sequence[str]) -> None:
    """Before anything is stored of the others."""
    if not files:
        raise ConfigurationError("name a file to ingest, - for stdin")
    refuse_missing(Path(file) for file in files if file != "-")


def with_expectations(settings: Settings, paths: Sequence[Path]) -> Settings:
    """The settings with other expectations files, if any are given."""
    if not paths:
        return settings
    plan = settings.plan.model_copy(update={"expectations": tuple(map(str, paths))})
    return msgspec.structs.replace(settings, plan=plan)


async def _feed_files(feed: Feed, files: Sequence[str], console: Console) -> None:
    with _bar(console, "reading") as bar:
        for file in files:
            await feed.take(read_messages(file), tell=lambda count: bar(advance=count))


async def carry_out(engine: Engine, operations: Sequence[UUID], console: Console, *, wait: bool) -> CheckProgress:
    """Wait for the checks of these operations, with a progress display on a terminal."""
    with _bar(console, "checking") as bar:

        def tell(progress: CheckProgress) -> None:
            total = progress.closed + progress.busy + progress.waiting
            bar(completed=progress.closed, total=total)

        return await engine.settled(operations, wait=wait, tell=tell)


@contextmanager
def _bar(console: Console, what: str) -> Iterator[Callable[..., None]]:
    """A progress display on a terminal, nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task(what, total=None)
        yield lambda **change: display.update(task, **change)


def _tell(feed: Feed, outlook: str, console: Console) -> None:
    for line in feed.rejected[:_SHOWN_REJECTIONS]:
        say(console, line, "red")
    if (hidden := len(feed.rejected) - _SHOWN_REJECTIONS) > 0:
        say(console, f"... and {hidden} more", "red")
    print(feed.summary(), outlook)
    for operation in feed.operations:
        print(f"Next: checking report {operation}")


def _outlook(progress: CheckProgress) -> str:
    closed = f"Checks: {progress.closed} closed"
    if not progress.waiting:
        return f"{closed}."
    when = _local(progress.next_look)
    return f"{closed}, {progress.waiting} asked again from {when} on: run checking serve, or this with --wait."


def _local(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S") if moment else "now"
