"""The one settle policy: what a consumer does with a batch while something it needs is away."""

import asyncio

import pytest

from checking_core.errors import BrokerUnavailableError, PublishError, RejectedMessageError
from checking_core.transport import Message, Outgoing, QueueState, Topology
from checking_core.transport.memory import MemorySubscription, MemoryTransport
from checking_server.consumers import Consumer
from checking_server.flow.pace import Pace

TOPOLOGY = Topology()
QUEUE, KEY = TOPOLOGY.instructions_queue, TOPOLOGY.execution_result_key


class ReluctantSubscription(MemorySubscription):
    """Takes no dead letter until it has refused so many."""

    refusals = 0

    async def dead_letter(self, delivery, reason):
        if self.refusals:
            self.refusals -= 1
            raise PublishError("no dead letters today")
        await super().dead_letter(delivery, reason)


class ReluctantTransport(MemoryTransport):
    def __init__(self, refusals):
        super().__init__(TOPOLOGY)
        self.refusals = refusals

    async def subscribe(self, queue, *, prefetch):
        subscription = ReluctantSubscription(self._queues[queue], prefetch)
        subscription.refusals = self.refusals
        self._subscriptions.append(subscription)
        return subscription


class Station:
    """Rejects messages of that id, keeps the others, and sets the stop at the last one."""

    def __init__(self, last, stop):
        self.last, self.stop = last, stop
        self.kept = []

    async def __call__(self, messages):
        answers = []
        for message in messages:
            if message.message_id == "wrong":
                answers.append(RejectedMessageError("execution.link_id", "is missing"))
            else:
                answers.append(None)
                self.kept.append(message.message_id)
            if message.message_id == self.last:
                self.stop.set()
        return answers


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(Pace.__init__, "__defaults__", (0.0, 0.0))


async def consume(transport, names, last):
    """What the station kept of these, and what the queue and the dead letters hold afterwards."""
    stop = asyncio.Event()
    station = Station(last, stop)
    await transport.start()
    await transport.publish([Outgoing(KEY, Message(body=b"{}", message_id=name)) for name in names])
    async with asyncio.timeout(30):
        await Consumer(transport, QUEUE, station, batch_size=2, window=0).run(stop)
    await transport.close()
    return station.kept


async def test_a_dead_letter_that_is_not_taken_is_tried_again_and_holds_up_no_ack(at_once):
    transport = ReluctantTransport(refusals=3)
    assert await consume(transport, ["a", "wrong", "b"], last="b") == ["a", "b"]
    assert [(message.message_id, reason) for message, reason, _ in transport.dead_letters] == [
        ("wrong", "execution.link_id: is missing")
    ]
    assert await transport.state(QUEUE) == QueueState(waiting=0, consumers=0)


async def test_a_dead_letter_that_is_not_taken_until_the_stop_comes_again(at_once):
    transport = ReluctantTransport(refusals=1000)
    assert await consume(transport, ["a", "wrong"], last="wrong") == ["a"]
    assert transport.dead_letters == []
    assert await transport.state(QUEUE) == QueueState(waiting=1, consumers=0)


class AwayTransport(MemoryTransport):
    """Can be subscribed to, and is away whenever a batch is asked for; tells when that was."""

    def __init__(self):
        super().__init__(TOPOLOGY)
        self.asked = asyncio.Event()

    async def subscribe(self, queue, *, prefetch):
        subscription = await super().subscribe(queue, prefetch=prefetch)
        subscription.batch = self._away
        return subscription

    async def _away(self, limit, window):
        self.asked.set()
        raise BrokerUnavailableError("the broker is away")


async def test_a_stop_ends_a_consumer_whose_transport_is_away():
    transport, stop = AwayTransport(), asyncio.Event()
    await transport.start()
    consuming = asyncio.create_task(Consumer(transport, QUEUE, Station("none", stop), batch_size=2, window=0).run(stop))
    await transport.asked.wait()
    stop.set()
    async with asyncio.timeout(30):
        await consuming
    assert await transport.state(QUEUE) == QueueState(waiting=0, consumers=0)
