"""One queue being served: tasks run side by side, results leave together, and only then are the tasks acked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

import structlog

from checking_core.contracts import DetectionTask, decode_task
from checking_core.errors import PublishError, RejectedMessageError, UnavailableError
from checking_core.transport.base import Delivery, Outgoing, Subscription, Transport
from checking_core.worker.suspects import Suspects

__all__ = ["Answered", "Lane", "persist"]

log = structlog.get_logger(__name__)

_BACK_OFF = (0.1, 0.5, 2.0, 5.0, 15.0)

T = TypeVar("T")


class Answered(NamedTuple):
    """A task whose result waits to be published."""

    delivery: Delivery
    result: Outgoing


class Lane:
    """Takes tasks from one queue until it is told to stop. What it takes is settled when ``serve`` returns.

    Args:
        subscription: the queue; at most ``concurrency`` deliveries are on loan at a time.
        transport: where results go.
        answer: runs one task to its message; whatever it raises ends the worker, so it raises nothing.
        concurrency: tasks at a time.
        suspects: those that must not run beside others; one row for all lanes of a process.
    """

    def __init__(
        self,
        subscription: Subscription,
        transport: Transport,
        answer: Callable[[Delivery, DetectionTask], Awaitable[Answered]],
        concurrency: int,
        suspects: Suspects,
    ) -> None:
        self._subscription = subscription
        self._transport = transport
        self._answer = answer
        self._concurrency = concurrency
        self._suspects = suspects
        self._running: dict[Delivery, asyncio.Task[None]] = {}
        self._refused: list[Delivery] = []
        self._ready: list[Answered] = []
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._settled = asyncio.Event()
        self._ending = asyncio.Event()

    async def serve(self, stop: asyncio.Event, *, drain: float) -> None:
        """Serve until ``stop``; then wait ``drain`` seconds for what runs, and give back what is left."""
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(self._take(group))
            group.create_task(self._publish())
            await stop.wait()
            self._stopping.set()
            await self._subscription.stop()
            await taking
            log.info("draining", tasks=len(self._running), within=drain)
            await self._finish(drain)
            self._ending.set()
            self._news.set()
        await self._give_back([*self._refused, *self._running])

    async def _take(self, group: asyncio.TaskGroup) -> None:
        while batch := await persist(lambda: self._subscription.batch(self._concurrency, 0.0), self._stopping):
            for delivery in batch:
                try:
                    task = decode_task(delivery.message.body)
                except RejectedMessageError as error:
                    await self._refuse(delivery, str(error))
                else:
                    self._running[delivery] = group.create_task(self._run(delivery, task))

    async def _run(self, delivery: Delivery, task: DetectionTask) -> None:
        await self._suspects.enter(delivery)
        answered = await self._answer(delivery, task)
        self._ready.append(answered)  # after the wait: before it, this was another list
        self._news.set()

    async def _refuse(self, delivery: Delivery, reason: str) -> None:
        log.warning("task_rejected", queue=delivery.queue, reason=reason)

        async def bury() -> bool:
            await self._subscription.dead_letter(delivery, reason)
            return True

        if not await persist(bury, self._stopping):
            self._refused.append(delivery)

    async def _publish(self) -> None:
        """Publish whatever is ready; what the broker did not take stays unacked and is tried again."""
        failures = 0
        while not self._ending.is_set():
            await self._news.wait()
            self._news.clear()
            answered, self._ready = self._ready, []
            left = await self._publish_once(answered)
            failures = failures + 1 if left else 0
            if left:
                self._ready = left + self._ready
                self._news.set()
                await _pause(failures, self._ending)

    async def _publish_once(self, answered: Sequence[Answered]) -> list[Answered]:
        try:
            errors = await self._transport.publish([item.result for item in answered])
        except UnavailableError as error:
            log.warning("results_not_published", results=len(answered), error=str(error))
            return list(answered)
        published = [item.delivery for item, error in zip(answered, errors, strict=True) if error is None]
        left = [item for item, error in zip(answered, errors, strict=True) if error is not None]
        if left:
            log.warning("results_not_published", results=len(left), error=str(next(filter(None, errors))))
        if published:
            await self._ack(published)
        return left

    async def _ack(self, deliveries: Sequence[Delivery]) -> None:
        """An ack that fails is not repeated: the broker delivers the task again, and gather knows its result."""
        try:
            await self._subscription.ack(deliveries)
        except UnavailableError as error:
            log.warning("tasks_not_acked", tasks=len(deliveries), error=str(error))
        for delivery in deliveries:
            del self._running[delivery]
            self._suspects.leave(delivery)
        if not self._running:
            self._settled.set()

    async def _finish(self, drain: float) -> None:
        """Wait until every task is answered and acked, but not longer than ``drain``; then end what still runs."""
        self._settled.clear()
        if not self._running:
            return
        try:
            async with asyncio.timeout(drain):
                await self._settled.wait()
        except TimeoutError:
            looks = [look for look in self._running.values() if not look.done()]
            log.warning("drain_ended", looks_cut_short=len(looks), tasks_given_back=len(self._running))
            for look in looks:
                look.cancel()

    async def _give_back(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            self._suspects.leave(delivery)
        try:
            if deliveries:
                await self._subscription.give_back(deliveries)
        except UnavailableError as error:
            log.warning("tasks_not_given_back", tasks=len(deliveries), error=str(error))


async def persist(call: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
    """The call's answer as soon as the transport gives one; ``None`` when it is still away at the stop."""
    failures = 0
    while True:
        try:
            return await call()
        except (UnavailableError, PublishError) as error:
            failures += 1
            log.warning("transport_away", error=str(error), failures=failures)
        await _pause(failures, stop)
        if stop.is_set():
            return None


async def _pause(failures: int, end: asyncio.Event) -> None:
    """Back off, longer with every failure, but not beyond the end."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(end.wait(), _BACK_OFF[min(failures, len(_BACK_OFF)) - 1])
