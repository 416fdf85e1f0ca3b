"""Which queue feeds which station, and the one settle policy.

A delivery is acked once its station has committed. The store away: the batch is kept and tried again, nothing is
given back. A message that can never be accepted: dead letters, with its reason. Nothing is given back but at a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeAlias

import structlog

from checking_core.errors import PublishError, RejectedMessageError, UnavailableError
from checking_core.transport.base import Delivery, Message, Subscription, Transport
from checking_server.flow.pace import Pace
from checking_server.metrics import Metrics

__all__ = ["Consumer", "Station"]

log = structlog.get_logger(__name__)

Station: TypeAlias = Callable[[Sequence[Message]], Awaitable[Sequence[Any]]]
"""Applies messages in one transaction; answers in their order, a ``RejectedMessageError`` for each that is hopeless."""


class Consumer:
    """Feeds one station from one queue until told to stop.

    Args:
        transport: what carries the messages.
        queue: where they wait.
        station: what applies them; idempotent, for a crash between commit and ack repeats a batch.
        batch_size: messages of one transaction; twice as many are on loan.
        window: seconds to wait for a fuller batch under load.
        metrics: is told of every batch.
    """

    def __init__(
        self,
        transport: Transport,
        queue: str,
        station: Station,
        *,
        batch_size: int,
        window: float,
        metrics: Metrics | None = None,
    ) -> None:
        self._transport = transport
        self._queue = queue
        self._station = station
        self._batch_size = batch_size
        self._window = window
        self._metrics = metrics or Metrics()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set and the batch in hand is settled."""
        subscription = await self._transport.subscribe(self._queue, prefetch=2 * self._batch_size)
        stopper = asyncio.create_task(_stop_with(stop, subscription))
        try:
            while batch := await self._next(subscription, stop):
                await self._apply(subscription, batch, stop)
        finally:
            stopper.cancel()
            with suppress(asyncio.CancelledError):
                await stopper
            await subscription.stop()

    async def _next(self, subscription: Subscription, stop: asyncio.Event) -> Sequence[Delivery]:
        pace = Pace()
        while True:
            try:
                return await subscription.batch(self._batch_size, self._window)
            except UnavailableError as error:
                log.warning("transport_away", queue=self._queue, problem=str(error))
                if stop.is_set():
                    return ()
                await pace.wait(stop)

    async def _apply(self, subscription: Subscription, batch: Sequence[Delivery], stop: asyncio.Event) -> None:
        began = perf_counter()
        answers = await self._answers([delivery.message for delivery in batch], stop)
        if answers is None:
            await subscription.give_back(batch)
            return
        rejected = {d: a for d, a in zip(batch, answers, strict=True) if isinstance(a, RejectedMessageError)}
        self._metrics.batch(self._queue, len(batch), len(rejected), perf_counter() - began)
        await subscription.ack([delivery for delivery in batch if delivery not in rejected])
        for delivery, answer in rejected.items():
            await self._bury(subscription, delivery, str(answer), stop)

    async def _bury(self, subscription: Subscription, delivery: Delivery, reason: str, stop: asyncio.Event) -> None:
        """Dead-letter it, however long the broker takes none; what it has not taken at the stop stays on loan."""
        pace = Pace()
        while True:
            try:
                await subscription.dead_letter(delivery, reason)
            except (PublishError, UnavailableError) as error:
                log.warning("dead_letter_not_taken", queue=self._queue, problem=str(error))
                if stop.is_set():
                    return
                await pace.wait(stop)
            else:
                log.warning("dead_lettered", queue=self._queue, message_id=delivery.message.message_id)
                return

    async def _answers(self, messages: Sequence[Message], stop: asyncio.Event) -> Sequence[Any] | None:
        """What the station says; ``None`` when the stop came while the store was away."""
        pace = Pace()
        while True:
            try:
                return await self._station(messages)
            except UnavailableError as error:
                log.warning("store_away", queue=self._queue, kept=len(messages), problem=str(error))
                if stop.is_set():
                    return None
                await pace.wait(stop)
            except Exception as error:  # an error of ours must cost one message, not the queue
                log.exception("station_failed", queue=self._queue, messages=len(messages))
                if len(messages) == 1:
                    return [RejectedMessageError("$", f"could not be applied ({type(error).__name__})")]
                middle = len(messages) // 2
                halves = [await self._answers(half, stop) for half in (messages[:middle], messages[middle:])]
                return None if None in halves else [answer for half in halves for answer in half or ()]


async def _stop_with(stop: asyncio.Event, subscription: Subscription) -> None:
    await stop.wait()
    await subscription.stop()
