"""``checking audit``: who changed what."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from checking_core.report.escape import visible
from checking_core.settings import DatabaseSettings, read
from checking_core.storage import Paging
from checking_core.storage.audit import AuditFilter
from checking_server.bootstrap import open_store
from checking_server.commands.terminal import cell, say, table, terminal

__all__ = ["audit"]


async def audit(
    *,
    action: Annotated[str | None, Parameter(help="Only these: api_key.create, check.retry and the like.")] = None,
    subject: Annotated[str | None, Parameter(help="Only what was done to the thing with this id.")] = None,
    author: Annotated[str | None, Parameter(help="Only what this one did.")] = None,
    limit: Annotated[int, Parameter(help="At most so many.", validator=Number(gte=1, lte=10_000))] = 50,
    json: Annotated[bool, Parameter(help="One JSON object a line, with what was and what is.", negative="")] = False,
) -> None:
    """List changes, the last first: when, who, from where, what, to which thing."""
    wanted = AuditFilter(action=action, subject=subject, author=author)
    async with open_store(read(DatabaseSettings)) as store, store.read() as uow:
        page = await uow.audit.list(Paging(size=limit), wanted)
    if json:
        for row in page.items:
            told = {str(name): value for name, value in row.items()}
            sys.stdout.write(visible(msgspec.json.encode(told).decode()) + "\n")
        return
    lines = table("When", "Who", "From", "Action", "Subject", whole=("When", "Action", "Subject"))
    for row in page.items:
        when = row["created_at"].astimezone().isoformat(" ", "seconds")
        lines.add_row(*map(cell, (when, row["author"], row["address"] or "-", row["action"], row["subject"])))
    console = terminal()
    if page.rows:
        console.print(lines)
    say(console, f"{page.total} changes, {len(page.rows)} shown.")
