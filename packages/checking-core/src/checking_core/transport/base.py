"""What the flow asks of a transport. Adapters: ``memory.py`` (embedded default), ``rabbitmq.py``.

Both pass ``checking_core.testing.TransportConformance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from checking_core.errors import PublishError

__all__ = ["Delivery", "Message", "Outgoing", "QueueState", "Subscription", "Transport"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What travels: JSON bytes, an id for duplicates, and text headers (``x-request-id``, ``traceparent``)."""

    body: bytes
    message_id: str
    headers: dict[str, str] = {}


class Outgoing(msgspec.Struct, frozen=True):
    """A message and the routing key it leaves with."""

    routing_key: str
    message: Message


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands: messages that wait for a consumer, and consumers, those that still settle included."""

    waiting: int
    consumers: int


class Delivery(Protocol):
    """A message on loan: it stays the transport's until it is settled, exactly once."""

    @property
    def message(self) -> Message:
        """What was published."""
        ...

    @property
    def queue(self) -> str:
        """The queue it was taken from."""
        ...

    @property
    def tries(self) -> int:
        """How often it was delivered before: 0 the first time."""
        ...


class Subscription(Protocol):
    """A consumer of one queue. At most ``prefetch`` deliveries are on loan at a time.

    Where the transport goes away, what is on loan will be delivered again, to whomever; to settle it then does
    nothing and raises nothing.
    """

    async def batch(self, limit: int, window: float) -> Sequence[Delivery]:
        """Wait for deliveries.

        Returns between 1 and ``limit`` of them: at once when the queue is drained, after at most ``window``
        seconds when more keep coming. An empty sequence means that the subscription was stopped.

        Raises:
            BrokerUnavailableError: the transport is away; call again, it recovers by itself.
        """
        ...

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Done with these; settling one twice raises ``ValueError``."""
        ...

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Return these unprocessed, to be delivered again in their order: at shutdown only."""
        ...

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Move this one to the dead letters with its reason and first queue, confirmed, then ack it.

        Raises:
            PublishError: it was not taken and stays on loan; call again.
        """
        ...

    async def stop(self) -> None:
        """Take no more deliveries: what was not handed out yet goes back, what is on loan can still be settled."""
        ...


class Transport(Protocol):
    """A broker, real or in-process. Start before use; close gives back whatever is still on loan."""

    async def start(self) -> None:
        """Connect and declare the topology.

        Raises:
            BrokerUnavailableError: the transport is away.
            ConfigurationError: it refuses us, or holds something of the same name that is of another kind.
        """
        ...

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        """Publish all, many confirms in flight.

        Returns for each item ``None`` once a queue has taken responsibility, ``UnroutableError`` when no queue
        wants the key, ``PublishError`` when it was not confirmed in time. One that fails does not stop the others.
        """
        ...

    async def subscribe(self, queue: str, *, prefetch: int) -> Subscription:
        """Start to consume a queue, declaring it and its binding where set-up did not.

        Raises:
            BrokerUnavailableError: the transport is away or not started.
            ConfigurationError: the topology has no such queue, so nothing would ever arrive.
        """
        ...

    async def state(self, queue: str) -> QueueState:
        """How the queue stands. An unknown queue has nothing waiting and no consumer.

        Raises:
            BrokerUnavailableError: the transport is away.
        """
        ...

    async def close(self) -> None:
        """Stop every subscription and disconnect. May be called twice."""
        ...
