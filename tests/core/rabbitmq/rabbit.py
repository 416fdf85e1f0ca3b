"""What tests of the RabbitMQ adapter share."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import aiormq

from checking_core.transport import Message, Outgoing, Topology
from checking_core.transport.rabbitmq import RabbitTransport

PATIENCE = 30


@asynccontextmanager
async def fresh_names(url):
    """Names that nobody else uses. What they name is deleted: hundreds of queues make a broker slow to start."""
    topology = Topology().prefixed(f"test-{uuid4().hex[:12]}.")
    yield topology
    await forget(url, topology)


async def forget(url, topology):
    lanes = [topology.task_queue("api", name) for name in ("conformance", "late", "here")]
    async with aiormq.connect(url) as connection:
        channel = await connection.channel()
        for queue in (topology.dead_queue, *(queue for queue, _ in topology.bindings()), *lanes):
            await channel.queue_delete(queue)
        for exchange in (topology.exchange, topology.dead_exchange):
            await channel.exchange_delete(exchange)


@asynccontextmanager
async def started(url, topology):
    transport = RabbitTransport(url, topology)
    await transport.start()
    yield transport
    await transport.close()


@asynccontextmanager
async def stranger(url):
    """A channel of another program."""
    async with aiormq.connect(url) as connection:
        yield await connection.channel()


def outgoing(key, *names, **headers):
    return [Outgoing(key, Message(body=b"{}", message_id=name, headers=headers)) for name in names]


def names_of(deliveries):
    return [delivery.message.message_id for delivery in deliveries]


async def take(consumer, count):
    """The next deliveries, exactly so many."""
    taken = []
    async with asyncio.timeout(PATIENCE):
        while len(taken) < count:
            taken += await consumer.batch(count - len(taken), 0.0)
    return taken
