"""The in-process transport: every rule of the suite, and those that only it can promise."""

import asyncio

import pytest

from checking_core.errors import BrokerUnavailableError, PublishError, UnroutableError
from checking_core.testing import TransportConformance
from checking_core.transport import Message, Outgoing, QueueState, Topology
from checking_core.transport.collect import Collector
from checking_core.transport.memory import MemoryTransport

TOPOLOGY = Topology()
QUEUE, KEY = TOPOLOGY.instructions_queue, TOPOLOGY.execution_result_key


def outgoing(*names: str) -> list[Outgoing]:
    return [Outgoing(KEY, Message(body=b"{}", message_id=name)) for name in names]


def names_of(deliveries) -> list[str]:
    return [delivery.message.message_id for delivery in deliveries]


class TestMemoryTransport(TransportConformance):
    @pytest.fixture
    async def transport(self, topology):
        transport = MemoryTransport(topology)
        await transport.start()
        yield transport
        await transport.close()

    async def crash(self, subscription):
        await subscription.abandon()


@pytest.fixture
async def transport():
    transport = MemoryTransport(TOPOLOGY)
    await transport.start()
    yield transport
    await transport.close()


async def test_dead_letters_are_visible_oldest_first(transport):
    await transport.publish(outgoing("a", "b", "c"))
    consumer = await transport.subscribe(QUEUE, prefetch=3)
    for delivery in reversed(await consumer.batch(3, 0)):
        await consumer.dead_letter(delivery, f"reason {delivery.message.message_id}")
    undertaker = await transport.subscribe(TOPOLOGY.dead_queue, prefetch=1)
    await undertaker.batch(1, 0)
    await undertaker.abandon()
    assert [(message.message_id, reason, queue) for message, reason, queue in transport.dead_letters] == [
        ("c", "reason c", QUEUE),
        ("b", "reason b", QUEUE),
        ("a", "reason a", QUEUE),
    ]


async def test_a_dead_letter_leaves_the_list_once_a_consumer_takes_it(transport):
    await transport.publish(outgoing("a"))
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    await consumer.dead_letter((await consumer.batch(1, 0))[0], "refused")
    undertaker = await transport.subscribe(TOPOLOGY.dead_queue, prefetch=1)
    await undertaker.ack(await undertaker.batch(1, 0))
    assert transport.dead_letters == []


async def test_a_dead_letter_refused_again_keeps_its_first_queue(transport):
    await transport.publish(outgoing("a"))
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    await consumer.dead_letter((await consumer.batch(1, 0))[0], "refused")
    undertaker = await transport.subscribe(TOPOLOGY.dead_queue, prefetch=1)
    await undertaker.dead_letter((await undertaker.batch(1, 0))[0], "store")
    ((message, reason, queue),) = transport.dead_letters
    assert (message.message_id, reason, queue) == ("a", "store", QUEUE)


async def test_a_publisher_cannot_forge_the_first_queue(transport):
    forged = Message(body=b"{}", message_id="a", headers={"x-first-queue": TOPOLOGY.api_responses_queue})
    await transport.publish([Outgoing(KEY, forged)])
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    await consumer.dead_letter((await consumer.batch(1, 0))[0], "refused")
    assert [letter.first_queue for letter in transport.dead_letters] == [QUEUE]


async def test_dead_letters_have_no_delivery_limit(transport):
    await transport.publish(outgoing("a"))
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    await consumer.dead_letter((await consumer.batch(1, 0))[0], "refused")
    for _ in range(50):
        undertaker = await transport.subscribe(TOPOLOGY.dead_queue, prefetch=1)
        await undertaker.batch(1, 0)
        await undertaker.abandon()
    assert [letter.reason for letter in transport.dead_letters] == ["refused"]


async def test_a_returned_message_comes_before_those_published_after_it(transport):
    await transport.publish(outgoing("a", "b", "c", "d", "e"))
    first = await transport.subscribe(QUEUE, prefetch=2)
    second = await transport.subscribe(QUEUE, prefetch=2)
    await first.batch(2, 0)
    await second.batch(2, 0)
    await first.abandon()
    await second.abandon()
    third = await transport.subscribe(QUEUE, prefetch=10)
    assert names_of(await third.batch(10, 0)) == ["a", "b", "c", "d", "e"]


async def test_giving_back_counts_as_a_delivery(transport):
    await transport.publish(outgoing("a"))
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    await consumer.give_back(await consumer.batch(1, 0))
    assert [delivery.tries for delivery in await consumer.batch(1, 0)] == [1]


async def test_a_list_with_one_delivery_that_is_not_on_loan_settles_none(transport):
    await transport.publish(outgoing("a", "b"))
    consumer = await transport.subscribe(QUEUE, prefetch=2)
    a, b = await consumer.batch(2, 0)
    await consumer.ack([a])
    for wrong in ([b, a], [b, b]):
        with pytest.raises(ValueError, match="settled exactly once"):
            await consumer.ack(wrong)
    await consumer.ack([b])


async def test_a_delivery_is_settled_only_where_it_was_handed_out(transport):
    await transport.publish(outgoing("a"))
    first = await transport.subscribe(QUEUE, prefetch=1)
    second = await transport.subscribe(QUEUE, prefetch=1)
    with pytest.raises(ValueError, match="handed out"):
        await second.ack(await first.batch(1, 0))


async def test_the_loan_of_a_dead_consumer_cannot_settle_the_next_one(transport):
    await transport.publish(outgoing("a"))
    first = await transport.subscribe(QUEUE, prefetch=1)
    stale = await first.batch(1, 0)
    await first.abandon()
    second = await transport.subscribe(QUEUE, prefetch=1)
    fresh = await second.batch(1, 0)
    for consumer in (first, second):
        with pytest.raises(ValueError, match="handed out"):
            await consumer.ack(stale)
    await second.ack(fresh)


async def test_a_cancelled_batch_takes_nothing(transport):
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    waiting = asyncio.create_task(consumer.batch(1, 0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await transport.publish(outgoing("a"))
    assert (await transport.state(QUEUE)).waiting == 1


async def test_many_batches_may_wait_on_one_subscription(transport):
    consumer = await transport.subscribe(QUEUE, prefetch=3)
    waiting = [asyncio.create_task(consumer.batch(1, 0)) for _ in range(4)]
    await transport.publish(outgoing("a", "b", "c", "d"))
    taken = [await task for task in waiting[:3]]
    assert names_of(batch[0] for batch in taken) == ["a", "b", "c"]
    assert not waiting[3].done()
    await consumer.ack(taken[0])
    assert names_of(await waiting[3]) == ["d"]


async def test_a_publisher_in_a_loop_does_not_starve_the_consumer(transport):
    consumer = await transport.subscribe(QUEUE, prefetch=10)
    waiting = asyncio.create_task(consumer.batch(1, 0))
    published = 0
    while not waiting.done():
        await transport.publish(outgoing(str(published)))
        published += 1
    assert names_of(await waiting) == ["0"]


@pytest.mark.parametrize("ended", [False, True])
async def test_a_transport_that_is_not_started_or_closed_takes_nothing(ended):
    transport = MemoryTransport(TOPOLOGY)
    if ended:
        await transport.start()
        await transport.close()
    (error,) = await transport.publish(outgoing("a"))
    assert isinstance(error, PublishError)
    assert not isinstance(error, UnroutableError)
    with pytest.raises(BrokerUnavailableError):
        await transport.subscribe(QUEUE, prefetch=1)
    assert await transport.state(QUEUE) == QueueState(waiting=0, consumers=0)


@pytest.mark.parametrize("prefetch", [0, -1])
async def test_a_prefetch_below_one_is_refused(transport, prefetch):
    with pytest.raises(ValueError, match="at least one"):
        await transport.subscribe(QUEUE, prefetch=prefetch)


async def test_a_batch_limit_below_one_is_refused(transport):
    consumer = await transport.subscribe(QUEUE, prefetch=1)
    with pytest.raises(ValueError, match="at least one"):
        await consumer.batch(0, 0)


async def test_ended_subscriptions_are_forgotten(transport):
    for _ in range(100):
        await (await transport.subscribe(QUEUE, prefetch=1)).stop()
    assert len(transport._subscriptions) == 1


async def test_closing_gives_back_the_loans_of_a_stopped_subscription_however_many_follow_it(transport):
    await transport.publish(outgoing("a"))
    stopped = await transport.subscribe(QUEUE, prefetch=1)
    await stopped.batch(1, 0)
    await stopped.stop()
    await transport.subscribe(QUEUE, prefetch=1)
    await transport.close()
    assert (await transport.state(QUEUE)).waiting == 1


class Arrivals:
    """A collector over a plain list, filled by the test."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.collector = Collector(lambda: len(self.items))

    async def trickle(self, count: int) -> None:
        for number in range(count):
            self.items.append(number)
            self.collector.wake()
            await asyncio.sleep(0)


async def test_a_batch_fills_up_while_more_keep_coming():
    arrivals = Arrivals()
    trickle = asyncio.create_task(arrivals.trickle(10))
    assert await arrivals.collector.collect(5, 3600) == 5
    await trickle


async def test_a_batch_leaves_when_nothing_more_comes():
    arrivals = Arrivals()
    trickle = asyncio.create_task(arrivals.trickle(4))
    assert await arrivals.collector.collect(100, 3600) == 4
    await trickle


async def test_a_window_of_zero_leaves_with_what_is_there():
    arrivals = Arrivals()
    trickle = asyncio.create_task(arrivals.trickle(4))
    assert await arrivals.collector.collect(100, 0) == 1
    await trickle


async def test_a_collector_closed_while_it_collects_takes_nothing():
    arrivals = Arrivals()
    arrivals.items = [1]
    collecting = asyncio.create_task(arrivals.collector.collect(100, 3600))
    await asyncio.sleep(0)
    arrivals.collector.close()
    assert await collecting == 0
