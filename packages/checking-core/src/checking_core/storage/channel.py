"""What processes that work on one PostgreSQL tell each other at once: its notifications.

One may be missed, for instance while the database is away: whoever listens is told so when they listen again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from checking_core.errors import StoreUnavailableError
from checking_core.storage.engine import store_errors

__all__ = ["LONGEST", "listening", "send"]

log = structlog.get_logger(__name__)

LONGEST = 7_900
"""Bytes of one payload; PostgreSQL takes no 8,000."""

_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds between two tries to listen again; the last one stays."""

_PAYLOADS = sa.bindparam("payloads", type_=postgresql.ARRAY(sa.Text))
_NOTIFY = sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.func.unnest(_PAYLOADS).column_valued("payload")))
"""Built once: to build it anew takes longer than to send it."""


async def send(connection: AsyncConnection, channel: str, payloads: Sequence[str]) -> None:
    """Tell whoever listens, in this order, once the transaction is committed; the same text twice is told once."""
    await connection.execute(_NOTIFY, {"channel": channel, "payloads": payloads})


@asynccontextmanager
async def listening(
    engine: AsyncEngine, channel: str, on_payload: Callable[[str], None], *, on_begin: Callable[[], None]
) -> AsyncIterator[None]:
    """Pass on each payload while the block runs.

    Args:
        engine: of PostgreSQL; one connection of it is held all the time.
        channel: name.
        on_payload: must not block.
        on_begin: called whenever listening begins: what was told before was missed.
    """
    listener = asyncio.create_task(_listen(engine, channel, on_payload, on_begin))
    try:
        yield
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


async def _listen(
    engine: AsyncEngine, channel: str, on_payload: Callable[[str], None], on_begin: Callable[[], None]
) -> None:
    failures = 0
    while True:
        try:
            with store_errors():
                async with engine.connect() as connection:
                    failures = 0
                    await _hear(connection, channel, on_payload, on_begin)
        except StoreUnavailableError as error:
            log.warning("not_listening", channel=channel, problem=str(error))
        await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
        failures += 1


async def _hear(
    connection: AsyncConnection, channel: str, on_payload: Callable[[str], None], on_begin: Callable[[], None]
) -> None:
    """Listen until the connection is lost."""
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101 - a connection that was opened has one
    lost = asyncio.Event()
    driver.add_termination_listener(lambda _: lost.set())
    try:
        await driver.add_listener(channel, lambda _connection, _pid, _channel, payload: on_payload(payload))
        on_begin()
        await lost.wait()
    finally:
        await connection.invalidate()  # nobody else is to get a connection that listens
