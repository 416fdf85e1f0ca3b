"""A consumer of one queue that survives its channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from math import inf
from typing import TypeAlias, cast

import msgspec
import structlog
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused

from checking_core.errors import BrokerUnavailableError, ConfigurationError
from checking_core.transport.base import Delivery, Message
from checking_core.transport.collect import Collector
from checking_core.transport.rabbitmq_link import Channel, Link
from checking_core.transport.rabbitmq_reader import ConsumingConnection
from checking_core.transport.rabbitmq_topology import QueueDeclaration, declare_queue
from checking_core.transport.rabbitmq_wire import Content, received
from checking_core.transport.topology import HEADER_FIRST_QUEUE, HEADER_REASON

__all__ = ["RabbitDelivery", "RabbitSubscription"]

log = structlog.get_logger(__name__)

Bury: TypeAlias = Callable[[Message], Awaitable[None]]

_QUIET = 0.001  # seconds; deliveries that the broker sends together are read within that
_ANSWER_WITHIN = 10.0
_LONGEST_REASON = 4000


class RabbitDelivery(msgspec.Struct, frozen=True, eq=False):
    """See ``Delivery``. Two loans of one message are two different deliveries."""

    message: Message
    queue: str
    tries: int


class RabbitSubscription:
    """See ``Subscription``.

    When its channel is lost (broker down, queue deleted, consumer cancelled), what was on loan is delivered again, and
    the next ``batch`` consumes on a new channel. Settling a lost delivery does nothing: there is nobody to tell, and
    whoever has applied the message meets it once more.

    Args:
        link: where deliveries come from.
        declaration: the queue.
        prefetch: how many deliveries may be on loan at a time.
        dead: whether this is the queue of the dead letters.
        bury: publishes a dead letter, confirmed; raises ``PublishError``.
    """

    def __init__(self, link: Link, declaration: QueueDeclaration, *, prefetch: int, dead: bool, bury: Bury) -> None:
        self._link = link
        self._declaration = declaration
        self._prefetch = prefetch
        self._dead = dead
        self._bury = bury
        self._channel: Channel | None = None
        self._consumer_tag = ""
        self._arrived: deque[tuple[Delivery, int]] = deque()  # with their tags, which ascend
        self._loans: dict[Delivery, int] = {}  # likewise, and all of them came before those that have arrived
        self._lost: set[Delivery] = set()
        self._opening = asyncio.Lock()
        self._ending = False
        self._stopping: asyncio.Task[None] | None = None
        self._cancelled = False
        self._collector = Collector(self._ready, quiet=_QUIET)

    @property
    def ended(self) -> bool:
        """Whether it was stopped and has nothing on loan."""
        return self._ending and self._channel is None

    async def begin(self) -> None:
        """Declare the queue and consume it, unless that is done or over.

        Raises:
            BrokerUnavailableError: the broker is away.
            ConfigurationError: the user may not create or read the queue, or it is of another kind.
        """
        async with self._opening:
            if self._channel is not None or self._ending:
                return
            connection = await self._link.connection()
            with self._link.errors():
                await declare_queue(connection, self._declaration, user=self._link.user)
            channel = self._channel = await self._link.channel()
            channel.closing.add_done_callback(lambda _: self._lose(channel))
            channel.on_consumer_cancel_callbacks.add(lambda _: self._lose(channel))
            with ExitStack() as half_open:
                half_open.callback(self._lose, channel)
                await self._consume(channel)
                half_open.pop_all()

    async def batch(self, limit: int, window: float) -> Sequence[Delivery]:
        """See ``Subscription``. Cancelling it takes nothing."""
        while True:
            if self._channel is None and not self._ending:
                await self._begin_again()
            count = await self._collector.collect(limit, window)
            taken = [self._arrived.popleft() for _ in range(min(count, len(self._arrived)))]
            if taken or not count:
                self._loans.update(taken)
                return [delivery for delivery, _ in taken]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Subscription``. All of them or, with ``ValueError``, none."""
        tags = self._settle(deliveries)
        oldest = self._oldest()
        together = [tag for tag in tags if tag < oldest]

        async def acked(channel: Channel) -> None:
            if together:
                await channel.basic_ack(together[-1], multiple=True, wait=False)
            for tag in tags[len(together) :]:
                await channel.basic_ack(tag, wait=False)

        await self._tell(acked)

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Subscription``. Counts as a delivery."""
        tags = self._settle(deliveries)
        await self._tell(partial(_returned, tags))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """See ``Subscription``.

        Raises:
            PublishError: the broker did not take the dead letter. The delivery stays on loan: call again.
        """
        if delivery in self._loans:
            headers = delivery.message.headers
            first = headers.get(HEADER_FIRST_QUEUE, delivery.queue) if self._dead else delivery.queue
            headers = {**headers, HEADER_REASON: reason[:_LONGEST_REASON], HEADER_FIRST_QUEUE: first}
            await self._bury(msgspec.structs.replace(delivery.message, headers=headers))
        await self.ack([delivery])

    async def stop(self) -> None:
        """See ``Subscription``. May be called twice, also at the same time; never raises."""
        self._ending = True
        self._collector.close()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    def close(self) -> None:
        """End at once. What is on loan goes back and can no longer be settled."""
        self._ending = True
        self._collector.close()
        if self._channel is not None:
            self._lose(self._channel)

    async def _begin_again(self) -> None:
        try:
            await self.begin()
        except ConfigurationError as error:  # it was right before: somebody is changing the broker under us
            raise BrokerUnavailableError(str(error)) from error

    async def _consume(self, channel: Channel) -> None:
        queue = self._declaration.queue
        cast("ConsumingConnection", channel.connection).receivers[channel.number] = partial(self._receive, channel)
        with self._link.errors():
            try:
                async with asyncio.timeout(_ANSWER_WITHIN):
                    await channel.basic_qos(prefetch_count=self._prefetch)
                    consuming = await channel.basic_consume(queue, _received_elsewhere)
            except ChannelAccessRefused as error:
                raise ConfigurationError(f"user {self._link.user} may not read queue {queue}: grant it") from error
        self._consumer_tag = consuming.consumer_tag or ""

    def _receive(self, channel: Channel, content: Content) -> None:
        if channel is self._channel:
            message, tries = received(content, dead=self._dead)
            delivery = RabbitDelivery(message, self._declaration.queue, tries)
            self._arrived.append((delivery, content.tag))
            self._collector.wake()

    def _ready(self) -> int:
        """What there is to take; without a channel something too: the news of it."""
        return len(self._arrived) if self._channel is not None else 1

    def _oldest(self) -> float:
        """The lowest tag that is not settled."""
        return next(iter(self._loans.values()), self._arrived[0][1] if self._arrived else inf)

    def _settle(self, deliveries: Sequence[Delivery]) -> list[int]:
        """The tags, ascending, of those whose channel still is there; none of them is on loan any more."""
        chosen = set(deliveries)
        lost = chosen & self._lost
        if len(chosen) < len(deliveries) or not chosen - lost <= self._loans.keys():
            raise ValueError("a delivery is settled exactly once, where it was handed out")
        self._lost -= lost
        if lost:
            log.warning("settled_too_late", queue=self._declaration.queue, delivered_again=len(lost))
        return sorted(self._loans.pop(delivery) for delivery in chosen - lost)

    async def _tell(self, tell: Callable[[Channel], Awaitable[None]]) -> None:
        """Tell the broker; if that fails the channel is given up, and what it had is delivered again."""
        if channel := self._channel:
            try:
                with self._link.errors():
                    async with asyncio.timeout(_ANSWER_WITHIN):
                        await tell(channel)
            except BrokerUnavailableError:
                self._lose(channel)
        self._leave()

    async def _stop(self) -> None:
        async with self._opening:
            await self._tell(self._cancel)

    async def _cancel(self, channel: Channel) -> None:
        await channel.basic_cancel(self._consumer_tag)
        arrived = [tag for _, tag in self._arrived]
        self._arrived.clear()
        await _returned(arrived, channel)
        self._cancelled = True

    def _leave(self) -> None:
        """Close the channel once it is of no use: everything is settled and nothing more comes."""
        if self._cancelled and not self._loans and self._channel is not None:
            self._lose(self._channel)

    def _lose(self, channel: Channel) -> None:
        if channel is not self._channel:
            return
        self._channel = None
        self._arrived.clear()
        self._lost.update(self._loans)
        self._loans.clear()
        self._link.discard(channel)
        self._collector.wake()
        if not self._ending:
            log.warning("consumer_lost", queue=self._declaration.queue, on_loan=len(self._lost))


async def _received_elsewhere(_: DeliveredMessage) -> None:
    """What aiormq wants to know of a consumer, and never calls: see ``ConsumingConnection``."""


async def _returned(tags: Sequence[int], channel: Channel) -> None:
    for tag in tags:
        await channel.basic_nack(tag, requeue=True, wait=False)
