"""Wakes other processes that work on the same database, so that what is due need not wait for the next poll.

A notification of PostgreSQL; on SQLite one process does all the work. A ring may be missed, for instance while the
database is away: whoever listens looks for work on its own from time to time as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from checking_core.errors import StoreUnavailableError
from checking_core.storage.engine import store_errors

__all__ = ["listening", "ring"]

log = structlog.get_logger(__name__)

_CHANNEL = "checking_due"
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two tries to listen again; the last one stays."""


async def ring(connection: AsyncConnection) -> None:
    """Wake whoever listens, once the transaction is committed."""
    await connection.execute(sa.select(sa.func.pg_notify(_CHANNEL, "")))


@asynccontextmanager
async def listening(engine: AsyncEngine, on_ring: Callable[[], None]) -> AsyncIterator[None]:
    """Call ``on_ring`` for each ring while the block runs, and whenever some may have been missed.

    Args:
        engine: of PostgreSQL; one connection of it is held all the time.
        on_ring: must not block.
    """
    listener = asyncio.create_task(_listen(engine, on_ring))
    try:
        yield
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def _listen(engine: AsyncEngine, on_ring: Callable[[], None]) -> None:
    failures = 0
    while True:
        try:
            with store_errors():
                async with engine.connect() as connection:
                    failures = 0
                    await _hear(connection, on_ring)
        except StoreUnavailableError as error:
            log.warning("not_listening", problem=str(error))
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1


async def _hear(connection: AsyncConnection, on_ring: Callable[[], None]) -> None:
    """Listen until the connection is lost."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101 - a connection that was opened has one
    lost = asyncio.Event()
    driver.add_termination_listener(lambda _: lost.set())
    try:
        await driver.add_listener(_CHANNEL, lambda *_: on_ring())
        on_ring()
        await lost.wait()
    finally:
        await connection.invalidate()  # nobody else is to get a connection that listens
