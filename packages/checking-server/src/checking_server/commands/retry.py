"""``checking retry``: have closed checks asked once more."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

from cyclopts import Parameter

from checking_server.bootstrap import Settings, open_engine
from checking_server.commands.author import author
from checking_server.commands.ingest import carry_out
from checking_server.commands.logs import log_problems
from checking_server.commands.terminal import say, terminal
from checking_server.flow.explain import find_checks
from checking_server.flow_lock import flow_lock
from checking_server.roles import Role

__all__ = ["retry"]


async def retry(
    check: Annotated[str, Parameter(help="Id of a check, or its beginning; with STEP: id, name or latest operation.")],
    step: Annotated[int | None, Parameter(help="Number of the step in the operation's report.")] = None,
    /,
    *,
    wait: Annotated[bool, Parameter(help="Stay until the verdict is there.", negative="")] = False,
) -> None:
    """Have a closed check asked once more, for instance because its alert may have come late.

    What it shows then replaces the verdict only if it says more; what was said before stays in history. Without a
    broker, and without a server on the same database, it is asked at once.
    """
    settings = Settings.from_environment()
    log_problems(settings.log)
    console = terminal(sys.stderr)
    with nullcontext(False) if settings.broker.configured else flow_lock(settings.database.async_url) as alone:
        async with open_engine(settings, frozenset(Role) if alone else frozenset()) as engine:
            async with engine.store.read() as uow:
                found = await find_checks(uow, check, step)
            async with engine.running():
                await engine.retry([row["id"] for row in found], author())
                if engine.dispatches or wait:
                    await carry_out(engine, [found[0]["operation_id"]], console, wait=wait)
            async with engine.store.read() as uow:
                after = {row["id"]: row["outcome"] for row in await find_checks(uow, check, step)}
    for row in found:
        say(terminal(), f"Check {row['id']}: {row['outcome']} before, {after[row['id']]} now.")
        print(f"Next: checking explain {row['id']}")
