"""Results that arrive twice, as from a worker that died between its answer and its ack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from checking_core.errors import UnavailableError
from checking_core.transport.base import Delivery, Message, Outgoing, Subscription, Transport
from checking_core.transport.factory import create_transport
from checking_core.transport.topology import Topology

_COPY = "x-copy"
_AGAIN_AFTER = 0.2
_ON_LOAN = 200


class Echo:
    """Listens to the results with a queue of its own and sends each once more.

    Every other one comes among the originals; the rest is kept until it is asked for.

    Args:
        broker: URL.
        topology: of the site; the copies reach the listener as well, which knows them by a header.
    """

    def __init__(self, broker: str, topology: Topology) -> None:
        self.queue = f"{topology.api_responses_queue}.echo"
        self.heard: set[str] = set()
        """Ids of the tasks that were answered."""
        self._key = topology.api_response_key
        self._kept: list[Message] = []
        self._transport: Transport = create_transport(
            broker, msgspec.structs.replace(topology, api_responses_queue=self.queue)
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Miss no result from now on, until the block ends."""
        await self._transport.start()
        try:
            subscription = await self._transport.subscribe(self.queue, prefetch=_ON_LOAN)
            echoing = asyncio.create_task(self._answer(subscription))
            try:
                yield
            finally:
                echoing.cancel()
                with suppress(asyncio.CancelledError):
                    await echoing
        finally:
            await self._transport.close()

    async def send_kept(self) -> None:
        """Send the copies that were kept back."""
        kept, self._kept = self._kept, []
        await self._send(kept)

    async def _answer(self, subscription: Subscription) -> None:
        while True:
            try:
                deliveries = await subscription.batch(_ON_LOAN, 0.0)
            except UnavailableError:
                await asyncio.sleep(_AGAIN_AFTER)
            else:
                await self._send(self._due(deliveries))
                await subscription.ack(deliveries)

    def _due(self, deliveries: Sequence[Delivery]) -> list[Message]:
        """The copies to send now, each result's first time."""
        due: list[Message] = []
        for message in (delivery.message for delivery in deliveries):
            if _COPY in message.headers or message.message_id in self.heard:
                continue
            self.heard.add(message.message_id)
            copy = msgspec.structs.replace(message, headers={**message.headers, _COPY: "1"})
            (due if len(self.heard) % 2 else self._kept).append(copy)
        return due

    async def _send(self, messages: Sequence[Message]) -> None:
        items = [Outgoing(self._key, message) for message in messages]
        while items:
            answers = await self._transport.publish(items)
            items = [item for item, error in zip(items, answers, strict=True) if error is not None]
            if items:
                await asyncio.sleep(_AGAIN_AFTER)
