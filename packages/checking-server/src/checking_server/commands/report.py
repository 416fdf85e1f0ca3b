"""``checking report``: what the defenders saw of an operation, or which operations there are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter
from rich.console import Console

from checking_core.errors import ConfigurationError
from checking_core.report import OperationReport, OperationsReport, to_csv, to_json, to_markdown
from checking_core.settings import DatabaseSettings, read
from checking_server.bootstrap import open_store
from checking_server.commands.report_table import show, show_operations
from checking_server.commands.terminal import terminal
from checking_server.flow import report as station

__all__ = ["report", "show"]

_RENDERERS = {"json": to_json, "csv": to_csv, "md": to_markdown}


async def report(
    operation: Annotated[
        str | None, Parameter(help="Id, name, or latest. Without it: the operations there are.")
    ] = None,
    /,
    *,
    format: Annotated[  # noqa: A002 - the option is --format
        Literal["table", "json", "csv", "md"],
        Parameter(help="Text for a terminal, a program, a spreadsheet, a ticket."),
    ] = "table",
    output: Annotated[Path | None, Parameter(help="File to write instead of stdout.")] = None,
) -> None:
    """Tell what the defenders saw of an operation: for every execution and backend the outcome, and why."""
    async with open_store(read(DatabaseSettings)) as store:
        if operation is None:
            found: OperationReport | OperationsReport = await station.overview(store)
        else:
            found = await station.report(store, operation)
    if format == "table" and output is None:
        _show(found, terminal())
        return
    with _opened(output) as stream:
        if format == "table":
            _show(found, terminal(stream))
        else:
            stream.write(_RENDERERS[format](found))


def _show(found: OperationReport | OperationsReport, console: Console) -> None:
    if isinstance(found, OperationReport):
        show(found, console)
    else:
        show_operations(found, console)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """The file, or stdout. Line breaks are written as they are."""
    if path is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise ConfigurationError(f"--output: {path} cannot be written: {error.strerror}") from error
