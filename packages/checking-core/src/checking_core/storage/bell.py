"""Wakes other processes that work on the same database, so that what is due need not wait for the next poll.

A notification of PostgreSQL; on SQLite one process does all the work. A ring may be missed, for instance while the
database is away: whoever listens looks for work on its own from time to time as well.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from checking_core.storage import channel

__all__ = ["listening", "ring"]

_CHANNEL = "checking_due"


async def ring(connection: AsyncConnection) -> None:
    """Wake whoever listens, once the transaction is committed."""
    await channel.send(connection, _CHANNEL, [""])


def listening(engine: AsyncEngine, on_ring: Callable[[], None]) -> AbstractAsyncContextManager[None]:
    """Call ``on_ring`` for each ring while the block runs, and whenever some may have been missed.

    Args:
        engine: of PostgreSQL; one connection of it is held all the time.
        on_ring: must not block.
    """
    return channel.listening(engine, _CHANNEL, lambda _: on_ring(), on_begin=on_ring)
