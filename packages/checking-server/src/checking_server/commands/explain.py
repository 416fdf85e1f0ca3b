"""``checking explain``: why a check has the verdict it has, and what would change it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console

from checking_core.report import Explanation, to_json, to_text
from checking_core.settings import DatabaseSettings, read
from checking_server.bootstrap import open_store
from checking_server.commands.terminal import say, terminal
from checking_server.flow import explain as rows

__all__ = ["explain", "show_explained"]


async def explain(
    check: Annotated[str, Parameter(help="Id of a check, or its beginning; with STEP: id, name or latest operation.")],
    step: Annotated[int | None, Parameter(help="Number of the step in the operation's report.")] = None,
    /,
    *,
    format: Annotated[Literal["text", "json"], Parameter(help="Text for a person or a program.")] = "text",  # noqa: A002
) -> None:
    """Tell why a check has the verdict it has: what was asked, what came back, what was rejected, and why.

    Name a check by its id or the beginning of it, or all checks of a step by OPERATION STEP.
    """
    async with open_store(read(DatabaseSettings)) as store:
        found = await rows.explain(store, check, step)
    if format == "json":
        sys.stdout.write(to_json(found))
    else:
        show_explained(found, terminal())


def show_explained(found: Sequence[Explanation], console: Console) -> None:
    """Print explanations, a blank line between them; the headline and the titles of its parts stand out."""
    for number, explanation in enumerate(found):
        if number:
            console.print()
        for line, text in enumerate(to_text(explanation).splitlines()):
            say(console, text, "bold" if line == 0 or (text and not text.startswith((" ", "check "))) else "")
