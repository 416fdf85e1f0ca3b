"""Everything on the broker that the engine needs, made by a user who may make it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiormq.exceptions import ChannelNotFoundEntity

from checking_core.transport.rabbitmq_link import Connection, Link, open_channel
from checking_core.transport.rabbitmq_topology import declare_queue, declare_topology, exchanges, queue_declaration
from checking_core.transport.topology import Topology

__all__ = ["set_up"]


async def set_up(url: str, topology: Topology, lanes: Sequence[str]) -> list[str]:
    """Create what is missing of exchanges, queues and bindings; what is there stays as it is.

    Args:
        url: the broker, its virtual host, and a user who may create things there.
        topology: the names.
        lanes: queues beside those that every installation has.

    Returns:
        A line for each of them.

    Raises:
        BrokerUnavailableError: no broker answers there.
        ConfigurationError: it refuses the user or has no such virtual host; the user may not create what is missing;
            something is there already and was declared in another way.
    """
    every = (topology.dead_queue, *(binding.queue for binding in topology.bindings()))
    queues = list(dict.fromkeys((*every, *lanes)))
    declarations = [queue_declaration(topology, queue) for queue in queues]
    async with _linked(url) as link:
        connection = await link.connection()
        with link.errors():
            before = {name for name in exchanges(topology) if await _exists(connection, exchange=name)}
            before_queues = {queue for queue in queues if await _exists(connection, queue=queue)}
            await declare_topology(connection, topology, user=link.user)
            for declaration in declarations[len(every) :]:
                await declare_queue(connection, declaration, user=link.user)
    made = [_told("Exchange", name, name in before) for name in exchanges(topology)]
    return made + [_told("Queue", queue, queue in before_queues) for queue in queues]


@asynccontextmanager
async def _linked(url: str) -> AsyncIterator[Link]:
    link = Link(url, "set-up")
    try:
        await link.open()
        yield link
    finally:
        await link.close()


async def _exists(connection: Connection, *, exchange: str = "", queue: str = "") -> bool:
    """Ask on a channel of its own: the broker closes it with a no."""
    channel = await open_channel(connection)
    try:
        if exchange:
            await channel.exchange_declare(exchange, passive=True)
        else:
            await channel.queue_declare(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    finally:
        await channel.close()
    return True


def _told(kind: str, name: str, was_there: bool) -> str:
    return f"{kind} {name} {'was there already' if was_there else 'created'}."
