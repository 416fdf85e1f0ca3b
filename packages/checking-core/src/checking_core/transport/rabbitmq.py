"""The transport over RabbitMQ.

It rests on aiormq, the protocol layer of aio-pika, and not on aio-pika's own objects: a delivery must know whether the
channel it came over still is there, which a channel that heals itself hides; and a batch costs a third without them.
Recovery needs no task of its own: whoever asks for something finds the connection open, or opens it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from aiormq.exceptions import ChannelNotFoundEntity

from checking_core.errors import PublishError
from checking_core.transport.base import Message, Outgoing, QueueState
from checking_core.transport.rabbitmq_link import Connection, Link
from checking_core.transport.rabbitmq_publisher import Publisher
from checking_core.transport.rabbitmq_subscription import RabbitSubscription
from checking_core.transport.rabbitmq_topology import declare_topology, queue_declaration
from checking_core.transport.topology import Topology

__all__ = ["RabbitTransport"]

_PUBLISH_WITHIN = 10.0
_ANSWER_WITHIN = 10.0


class RabbitTransport:
    """See ``Transport``. Publishing never shares a connection with consuming: a blocked publisher still acks.

    Args:
        url: the broker, its virtual host and the user who publishes and, unless ``consume_url`` is given, consumes.
        topology: the names. What is missing on the broker is created where the user may; see ``start``.
        consume_url: the same broker for the user who consumes and asks for the state of queues.
        publish_timeout: seconds until a message that the broker has not confirmed counts as not published; a broker
            that is short of memory or disk makes every publish wait that long.

    Raises:
        ConfigurationError: a URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        topology: Topology | None = None,
        *,
        consume_url: str | None = None,
        publish_timeout: float = _PUBLISH_WITHIN,
    ) -> None:
        self._topology = topology or Topology()
        self._consuming = Link(consume_url or url, "consumer", consumes=True, on_open=self._declare)
        self._publishing = Link(url, "publisher", on_open=self._declare)
        self._publisher = Publisher(self._publishing, timeout=publish_timeout)
        self._subscriptions: list[RabbitSubscription] = []

    async def start(self) -> None:
        """Connect twice, each time declaring exchanges, queues and bindings. May be called twice.

        Raises:
            BrokerUnavailableError: no broker answers there.
            ConfigurationError: it refuses the user or has no such virtual host; or a queue or exchange is missing and
                the user may not create it, or was declared in another way.
        """
        async with AsyncExitStack() as half_open:
            half_open.push_async_callback(self.close)
            await self._consuming.open()
            await self._publishing.open()
            half_open.pop_all()

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        """See ``Transport``. While the broker is away every item fails at once."""
        return await self._publisher.publish(self._topology.exchange, items)

    async def subscribe(self, queue: str, *, prefetch: int) -> RabbitSubscription:
        """See ``Transport``. Raises ``ValueError`` for a prefetch below 1."""
        if prefetch < 1:
            raise ValueError("a consumer takes at least one delivery at a time")
        subscription = RabbitSubscription(
            self._consuming,
            queue_declaration(self._topology, queue),
            prefetch=prefetch,
            dead=queue == self._topology.dead_queue,
            bury=self._bury,
        )
        await subscription.begin()
        self._subscriptions = [other for other in self._subscriptions if not other.ended] + [subscription]
        return subscription

    async def state(self, queue: str) -> QueueState:
        """See ``Transport``. Raises ``BrokerUnavailableError``."""
        with self._consuming.errors():
            async with self._consuming.borrowed() as channel:
                try:
                    found = await channel.queue_declare(queue, passive=True, timeout=_ANSWER_WITHIN)
                except ChannelNotFoundEntity:
                    return QueueState(waiting=0, consumers=0)
        return QueueState(waiting=found.message_count or 0, consumers=found.consumer_count or 0)

    async def close(self) -> None:
        """See ``Transport``. It can be started again."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions.clear()
        await asyncio.gather(self._publishing.close(), self._consuming.close())

    async def _declare(self, link: Link, connection: Connection) -> None:
        await declare_topology(connection, self._topology, user=link.user)

    async def _bury(self, message: Message) -> None:
        (error,) = await self._publisher.publish(self._topology.dead_exchange, [Outgoing("", message)])
        if error is not None:
            raise error
