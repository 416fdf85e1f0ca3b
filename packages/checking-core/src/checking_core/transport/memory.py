"""The transport inside one process: the embedded default, and what tests run on.

It behaves as the broker does - confirmed and unroutable publishes, prefetch, redelivery, delivery limit, dead
letters - and keeps everything in the process: what is in it is gone with it. One event loop, no threads. A message
costs the same however many went before it; waiting ones add their logarithm, consumers of its queue a wake-up each.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from checking_core.errors import BrokerUnavailableError, ConfigurationError, PublishError, UnroutableError
from checking_core.transport.base import Delivery, Message, Outgoing, QueueState
from checking_core.transport.collect import Collector
from checking_core.transport.topology import DELIVERY_LIMIT, HEADER_FIRST_QUEUE, HEADER_REASON, Topology

__all__ = ["DeadLetter", "MemoryDelivery", "MemorySubscription", "MemoryTransport"]


class DeadLetter(NamedTuple):
    """A message that was given up, why, and the queue it was in."""

    message: Message
    reason: str
    first_queue: str


class MemoryDelivery(msgspec.Struct, frozen=True, eq=False):
    """See ``Delivery``. Two loans of one message are two different deliveries."""

    message: Message
    queue: str
    tries: int


class _Queue:
    """Messages by their place in the queue, which they keep however often they come back."""

    def __init__(self, name: str, limit: int | None, dead: _Queue | None = None) -> None:
        self.name = name
        self.limit = limit
        self.dead = dead
        self.waiting: list[tuple[int, int, Message]] = []  # a heap of (place, tries, message)
        self.consumers: list[MemorySubscription] = []
        self._places = itertools.count()

    def put(self, message: Message) -> None:
        heapq.heappush(self.waiting, (next(self._places), 0, message))
        self.wake()

    def take(self) -> tuple[int, MemoryDelivery]:
        place, tries, message = heapq.heappop(self.waiting)
        return place, MemoryDelivery(message, self.name, tries)

    def put_back(self, place: int, delivery: Delivery) -> None:
        tries = delivery.tries + 1
        if self.limit is not None and tries > self.limit:
            self.bury(delivery.message, DELIVERY_LIMIT)
        else:
            heapq.heappush(self.waiting, (place, tries, delivery.message))
            self.wake()

    def bury(self, message: Message, reason: str) -> None:
        """To the dead letters. One that is dead-lettered from there keeps its first queue."""
        first = self.name if self.dead else message.headers.get(HEADER_FIRST_QUEUE, self.name)
        headers = {**message.headers, HEADER_REASON: reason, HEADER_FIRST_QUEUE: first}
        (self.dead or self).put(msgspec.structs.replace(message, headers=headers))

    def wake(self) -> None:
        for consumer in self.consumers:
            consumer.wake()


class MemorySubscription:
    """See ``Subscription``. Deliveries stay in the queue until ``batch`` hands them out."""

    def __init__(self, queue: _Queue, prefetch: int) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._loans: dict[Delivery, int] = {}
        self._collector = Collector(self._ready)
        self.wake = self._collector.wake
        queue.consumers.append(self)

    @property
    def ended(self) -> bool:
        """Whether it was stopped and has nothing on loan."""
        return not self._loans and self not in self._queue.consumers

    async def batch(self, limit: int, window: float) -> Sequence[Delivery]:
        """See ``Subscription``. Never raises ``BrokerUnavailableError``; cancelling it takes nothing."""
        count = await self._collector.collect(limit, window)
        taken = [self._queue.take() for _ in range(count)]
        self._loans.update((delivery, place) for place, delivery in taken)
        return [delivery for _, delivery in taken]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Subscription``. All of them or, with ``ValueError``, none."""
        self._settle(deliveries)

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Subscription``. Counts as a delivery, as it does on a broker."""
        places = self._settle(deliveries)
        for place, delivery in zip(places, deliveries, strict=True):
            self._queue.put_back(place, delivery)

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """See ``Subscription``."""
        self._settle([delivery])
        self._queue.bury(delivery.message, reason)

    async def stop(self) -> None:
        """See ``Subscription``. May be called twice."""
        self._collector.close()
        if self in self._queue.consumers:
            self._queue.consumers.remove(self)

    async def abandon(self) -> None:
        """End as a consumer does that died: everything on loan goes back and can no longer be settled here."""
        await self.stop()
        await self.give_back(list(self._loans))

    def _ready(self) -> int:
        return min(len(self._queue.waiting), self._prefetch - len(self._loans))

    def _settle(self, deliveries: Sequence[Delivery]) -> list[int]:
        chosen = set(deliveries)
        if len(chosen) < len(deliveries) or not chosen <= self._loans.keys():
            raise ValueError("a delivery is settled exactly once, where it was handed out")
        places = [self._loans.pop(delivery) for delivery in deliveries]
        self.wake()
        return places


class MemoryTransport:
    """See ``Transport``. Closed, it keeps its messages; started again, it goes on with them.

    Args:
        topology: the names; queues of set-up exist from the start, lanes from their first subscription on.
    """

    def __init__(self, topology: Topology | None = None) -> None:
        self._topology = topology or Topology()
        self._dead = _Queue(self._topology.dead_queue, self._topology.delivery_limit(self._topology.dead_queue))
        self._queues = {self._dead.name: self._dead}
        self._routes: dict[str, _Queue] = {}
        self._subscriptions: list[MemorySubscription] = []
        self._started = False
        for queue, key in self._topology.bindings():
            self._declare(queue, key)

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """What waits in the dead letters, oldest first; not what a consumer of them has on loan."""
        messages = [message for _, _, message in sorted(self._dead.waiting)]
        return [DeadLetter(item, item.headers[HEADER_REASON], item.headers[HEADER_FIRST_QUEUE]) for item in messages]

    async def start(self) -> None:
        """See ``Transport``. May be called twice; never raises."""
        self._started = True

    async def publish(self, items: Sequence[Outgoing]) -> Sequence[PublishError | None]:
        """See ``Transport``."""
        outcomes = [self._route(item) for item in items]
        await asyncio.sleep(0)  # whoever publishes in a loop must not starve the consumers
        return outcomes

    async def subscribe(self, queue: str, *, prefetch: int) -> MemorySubscription:
        """See ``Transport``. Raises ``ValueError`` for a prefetch below 1."""
        if prefetch < 1:
            raise ValueError("a consumer takes at least one delivery at a time")
        if not self._started:
            raise BrokerUnavailableError("the transport is not started")
        subscription = MemorySubscription(self._queues.get(queue) or self._declare_lane(queue), prefetch)
        self._subscriptions = [other for other in self._subscriptions if not other.ended] + [subscription]
        return subscription

    async def state(self, queue: str) -> QueueState:
        """See ``Transport``."""
        known = self._queues.get(queue)
        return QueueState(waiting=len(known.waiting) if known else 0, consumers=len(known.consumers) if known else 0)

    async def close(self) -> None:
        """See ``Transport``."""
        self._started = False
        for subscription in self._subscriptions:
            await subscription.abandon()
        self._subscriptions.clear()

    def _route(self, item: Outgoing) -> PublishError | None:
        if not self._started:
            return PublishError("the transport is not started")
        queue = self._routes.get(item.routing_key)
        if queue is None:
            return UnroutableError(f"no queue takes the routing key {item.routing_key}")
        queue.put(item.message)
        return None

    def _declare(self, queue: str, key: str) -> _Queue:
        declared = _Queue(queue, self._topology.delivery_limit(queue), self._dead)
        self._queues[queue] = self._routes[key] = declared
        return declared

    def _declare_lane(self, queue: str) -> _Queue:
        key = self._topology.key_of(queue)
        if key is None:
            raise ConfigurationError(f"the topology has no queue {queue}")
        return self._declare(queue, key)
