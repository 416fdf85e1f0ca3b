"""Tables for people at a terminal. Text of attackers and backends becomes cells that steer nothing."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checking_core.report.escape import visible

__all__ = ["cell", "say", "table", "terminal"]

_WIDTH_OF_A_FILE = 200


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Let the command end as it does for every other reader that leaves: rich would end it with code 1."""
        raise BrokenPipeError


def terminal(file: TextIO | None = None) -> Console:
    """A console on a stream, by default stdout; what is no terminal gets long lines, and no colour."""
    stream = file or sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # a host's alphabet that the terminal lacks ends no report
    chosen = stream.isatty() or "COLUMNS" in os.environ
    return _Terminal(file=stream, width=None if chosen else _WIDTH_OF_A_FILE, highlight=False, emoji=False)


def cell(text: str, style: str = "") -> Text:
    """One line, cut where its column ends."""
    return Text(visible(text), style=style, no_wrap=True, overflow="ellipsis")


def say(console: Console, text: str, style: str = "") -> None:
    """A sentence, broken where the terminal ends; in a file it stays one line."""
    console.print(Text(visible(text), style=style), soft_wrap=not console.is_terminal)


def table(*headings: str, whole: tuple[str, ...] = ()) -> Table:
    """A table without a frame.

    Args:
        headings: of its columns.
        whole: the columns that are never cut.
    """
    found = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for heading in headings:
        found.add_column(heading, no_wrap=heading in whole)
    return found
