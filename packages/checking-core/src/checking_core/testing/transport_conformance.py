"""The rules that every transport keeps. Subclass it for an adapter; pytest with ``asyncio_mode = "auto"`` runs it."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from uuid import uuid4

import pytest

from checking_core.errors import ConfigurationError, UnroutableError
from checking_core.transport import (
    DELIVERY_LIMIT,
    HEADER_FIRST_QUEUE,
    HEADER_REASON,
    HEADER_REQUEST_ID,
    HEADER_TRACEPARENT,
    Binding,
    Delivery,
    Message,
    Outgoing,
    QueueState,
    Subscription,
    Topology,
    Transport,
)

__all__ = ["TransportConformance"]

_PATIENCE = 30.0  # seconds until a delivery that does not come fails a test; none that passes waits for it


class TransportConformance:
    """What the flow relies on, as tests.

    The author adds a fixture ``transport``: a started transport with the names of the fixture ``topology``, closed
    after the test. Names are new for each test, so that one broker serves all of them. A message in the dead letters
    carries its reason and first queue as headers, however it got there.
    """

    async def crash(self, subscription: Subscription) -> None:
        """Let the consumer die: it settles nothing and says nothing."""
        raise NotImplementedError

    async def reopen(self, transport: Transport) -> Transport:
        """Close the transport and open one as the next process would. Override where one cannot start again."""
        await transport.close()
        await transport.start()
        return transport

    @pytest.fixture
    def topology(self) -> Topology:
        """Names that nobody else uses."""
        return Topology().prefixed(f"conformance-{uuid4().hex[:12]}.")

    @pytest.fixture
    async def lane(self, transport: Transport, topology: Topology) -> Binding:
        """A task queue that exists and is empty, without a consumer."""
        lane = Binding(topology.task_queue("api", "conformance"), topology.task_key("api", "conformance"))
        await (await transport.subscribe(lane.queue, prefetch=1)).stop()
        return lane

    # --- publish ------------------------------------------------------------------------------------------

    async def test_messages_arrive_in_the_order_of_publishing(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 20)
        consumer = await transport.subscribe(lane.queue, prefetch=20)
        assert _ids(await _take(consumer, 20)) == _ids(items)

    async def test_a_confirmed_publish_is_delivered_exactly_once(self, transport: Transport, lane: Binding) -> None:
        consumer = await transport.subscribe(lane.queue, prefetch=50)
        items = await _publish(transport, lane.key, 200)
        seen: list[str] = []
        while len(seen) < len(items):
            batch = await _take(consumer, 1, limit=30)
            seen += _ids(batch)
            await consumer.ack(batch)
        assert seen == _ids(items)
        await consumer.stop()
        await _assert_empty(transport, lane)

    async def test_body_id_and_headers_survive(self, transport: Transport, lane: Binding) -> None:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        message = Message(
            body='{"command": "echo Grüße \\u0007"}'.encode(),
            message_id=str(uuid4()),
            headers={HEADER_REQUEST_ID: "Ä 1", HEADER_TRACEPARENT: traceparent},
        )
        assert list(await transport.publish([Outgoing(lane.key, message)])) == [None]
        (delivery,) = await _take(await transport.subscribe(lane.queue, prefetch=1), 1)
        assert (delivery.message, delivery.queue, delivery.tries) == (message, lane.queue, 0)

    async def test_publishing_nothing_is_nothing(self, transport: Transport) -> None:
        assert list(await transport.publish([])) == []

    async def test_an_unroutable_message_fails_alone(
        self, transport: Transport, topology: Topology, lane: Binding
    ) -> None:
        good, lost, better = _items(lane.key, 1) + _items(topology.task_key("api", "nobody"), 1) + _items(lane.key, 1)
        first, second, third = await transport.publish([good, lost, better])
        assert first is None
        assert isinstance(second, UnroutableError)
        assert third is None
        consumer = await transport.subscribe(lane.queue, prefetch=10)
        assert _ids(await _take(consumer, 2)) == _ids([good, better])

    async def test_a_task_is_unroutable_until_somebody_serves_its_backend(
        self, transport: Transport, topology: Topology
    ) -> None:
        queue, items = topology.task_queue("api", "late"), _items(topology.task_key("api", "late"), 1)
        assert isinstance((await transport.publish(items))[0], UnroutableError)
        await (await transport.subscribe(queue, prefetch=1)).stop()
        assert list(await transport.publish(items)) == [None]

    async def test_a_queue_of_set_up_keeps_messages_without_a_consumer(
        self, transport: Transport, topology: Topology
    ) -> None:
        published = [await _publish(transport, key, 2) for _, key in topology.bindings()]
        for (queue, _), items in zip(topology.bindings(), published, strict=True):
            assert _ids(await _take(await transport.subscribe(queue, prefetch=2), 2)) == _ids(items)

    # --- batch --------------------------------------------------------------------------------------------

    async def test_a_batch_is_never_larger_than_its_limit(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 10)
        consumer = await transport.subscribe(lane.queue, prefetch=10)
        seen: list[str] = []
        while len(seen) < len(items):
            batch = await _batch(consumer, 4, 0.0)
            assert 1 <= len(batch) <= 4
            seen += _ids(batch)
        assert seen == _ids(items)

    async def test_a_batch_leaves_at_once_when_the_queue_is_drained(self, transport: Transport, lane: Binding) -> None:
        await _publish(transport, lane.key, 3)
        consumer = await transport.subscribe(lane.queue, prefetch=100)
        seen = 0
        while seen < 3:
            seen += len(await _batch(consumer, 100, 100 * _PATIENCE))

    async def test_a_waiting_batch_gets_what_is_published(self, transport: Transport, lane: Binding) -> None:
        consumer = await transport.subscribe(lane.queue, prefetch=1)
        waiting = asyncio.create_task(_batch(consumer, 1, 0.0))
        await asyncio.sleep(0)
        items = await _publish(transport, lane.key, 1)
        assert _ids(await waiting) == _ids(items)

    async def test_a_waiting_batch_gets_what_another_consumer_left(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 1)
        first = await transport.subscribe(lane.queue, prefetch=1)
        await _take(first, 1)
        second = await transport.subscribe(lane.queue, prefetch=1)
        waiting = asyncio.create_task(_batch(second, 1, 0.0))
        await asyncio.sleep(0)
        await self.crash(first)
        assert _ids(await waiting) == _ids(items)

    async def test_no_more_than_the_prefetch_is_on_loan(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 5)
        first = await transport.subscribe(lane.queue, prefetch=2)
        held = await _take(first, 2, limit=5)
        more = asyncio.create_task(_batch(first, 5, 0.0))
        await asyncio.sleep(0)
        second = await transport.subscribe(lane.queue, prefetch=5)
        assert _ids(held) == _ids(items[:2])
        assert _ids(await _take(second, 3, limit=5)) == _ids(items[2:])
        await first.stop()
        assert list(await more) == []

    async def test_settling_makes_room_for_more(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 3)
        consumer = await transport.subscribe(lane.queue, prefetch=2)
        held = await _take(consumer, 2)
        more = asyncio.create_task(_batch(consumer, 2, 0.0))
        await asyncio.sleep(0)
        await consumer.ack(held[:1])
        assert _ids(await more) == _ids(items[2:])

    async def test_several_consumers_share_a_queue(self, transport: Transport, lane: Binding) -> None:
        consumers = [await transport.subscribe(lane.queue, prefetch=10) for _ in range(3)]
        items = await _publish(transport, lane.key, 30)
        shares = [await _take(consumer, 10) for consumer in consumers]
        assert sorted(_ids(itertools.chain(*shares))) == sorted(_ids(items))

    # --- settle -------------------------------------------------------------------------------------------

    async def test_an_acked_message_never_comes_again(self, transport: Transport, lane: Binding) -> None:
        await _publish(transport, lane.key, 3)
        consumer = await transport.subscribe(lane.queue, prefetch=3)
        await consumer.ack(await _take(consumer, 3))
        await self.crash(consumer)
        await _assert_empty(transport, lane)

    async def test_deliveries_are_settled_one_by_one_in_any_order(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 5)
        consumer = await transport.subscribe(lane.queue, prefetch=5)
        held = await _take(consumer, 5)
        await consumer.ack([held[4], held[2]])
        await consumer.dead_letter(held[1], "refused")
        await self.crash(consumer)
        again = await _take(await transport.subscribe(lane.queue, prefetch=5), 2)
        assert _ids(again) == _ids([items[0], items[3]])

    @pytest.mark.parametrize("first", ["ack", "give_back", "dead_letter"])
    @pytest.mark.parametrize("second", ["ack", "give_back", "dead_letter"])
    async def test_settling_twice_raises_value_error(
        self, transport: Transport, lane: Binding, first: str, second: str
    ) -> None:
        await _publish(transport, lane.key, 1)
        consumer = await transport.subscribe(lane.queue, prefetch=1)
        (delivery,) = await _take(consumer, 1)
        await consumer.stop()
        await _settle(consumer, first, delivery)
        with pytest.raises(ValueError, match="settled"):
            await _settle(consumer, second, delivery)

    async def test_what_is_given_back_comes_again_in_its_order(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 10)
        consumer = await transport.subscribe(lane.queue, prefetch=5)
        held = await _take(consumer, 5)
        await consumer.stop()
        await consumer.give_back(held)
        assert _ids(await _take(await transport.subscribe(lane.queue, prefetch=10), 10)) == _ids(items)

    async def test_a_dead_letter_carries_its_reason_and_first_queue(
        self, transport: Transport, topology: Topology, lane: Binding
    ) -> None:
        (item,) = await _publish(transport, lane.key, 1)
        consumer = await transport.subscribe(lane.queue, prefetch=1)
        await consumer.dead_letter((await _take(consumer, 1))[0], "operation.name: is missing")
        dead = await _dead_letter(transport, topology)
        assert (dead.body, dead.message_id) == (item.message.body, item.message.message_id)
        assert dead.headers[HEADER_REASON] == "operation.name: is missing"
        assert dead.headers[HEADER_FIRST_QUEUE] == lane.queue
        assert dead.headers[HEADER_REQUEST_ID] == item.message.headers[HEADER_REQUEST_ID]
        await consumer.stop()
        await _assert_empty(transport, lane)

    # --- crash, stop, close -------------------------------------------------------------------------------

    async def test_what_a_crashed_consumer_held_comes_again_with_one_more_try(
        self, transport: Transport, lane: Binding
    ) -> None:
        items = await _publish(transport, lane.key, 3)
        consumer = await transport.subscribe(lane.queue, prefetch=3)
        await _take(consumer, 3)
        await self.crash(consumer)
        again = await _take(await transport.subscribe(lane.queue, prefetch=3), 3)
        assert _ids(again) == _ids(items)
        assert [delivery.tries for delivery in again] == [1, 1, 1]

    async def test_a_message_that_no_consumer_survives_becomes_a_dead_letter(
        self, transport: Transport, topology: Topology, lane: Binding
    ) -> None:
        (item,) = await _publish(transport, lane.key, 1)
        limit = topology.delivery_limit(lane.queue)
        assert limit is not None
        for tries in range(limit + 1):
            consumer = await transport.subscribe(lane.queue, prefetch=1)
            assert [delivery.tries for delivery in await _take(consumer, 1)] == [tries]
            await self.crash(consumer)
        dead = await _dead_letter(transport, topology)
        assert dead.message_id == item.message.message_id
        assert dead.headers[HEADER_REASON] == DELIVERY_LIMIT
        assert dead.headers[HEADER_FIRST_QUEUE] == lane.queue
        await _assert_empty(transport, lane)

    async def test_a_stop_wakes_a_waiting_batch(self, transport: Transport, lane: Binding) -> None:
        consumer = await transport.subscribe(lane.queue, prefetch=1)
        waiting = asyncio.create_task(_batch(consumer, 1, 0.0))
        await asyncio.sleep(0)
        await consumer.stop()
        assert list(await waiting) == []
        assert list(await _batch(consumer, 1, 0.0)) == []

    async def test_a_graceful_drain_loses_nothing(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 50)
        consumer = await transport.subscribe(lane.queue, prefetch=20)
        held = await _take(consumer, 10)
        await consumer.stop()
        await consumer.ack(held)
        reopened = await self.reopen(transport)
        rest = await _take(await reopened.subscribe(lane.queue, prefetch=50), 40)
        assert sorted(_ids(held) + _ids(rest)) == sorted(_ids(items))

    async def test_closing_gives_back_what_is_on_loan(self, transport: Transport, lane: Binding) -> None:
        items = await _publish(transport, lane.key, 5)
        await _take(await transport.subscribe(lane.queue, prefetch=3), 3)
        reopened = await self.reopen(transport)
        rest = await _take(await reopened.subscribe(lane.queue, prefetch=5), 5)
        assert sorted(_ids(rest)) == sorted(_ids(items))

    async def test_closing_wakes_a_waiting_batch_and_may_be_repeated(self, transport: Transport, lane: Binding) -> None:
        consumer = await transport.subscribe(lane.queue, prefetch=1)
        waiting = asyncio.create_task(_batch(consumer, 1, 0.0))
        await asyncio.sleep(0)
        await transport.close()
        await transport.close()
        assert list(await waiting) == []

    # --- state --------------------------------------------------------------------------------------------

    async def test_the_state_counts_what_waits_and_who_consumes(self, transport: Transport, lane: Binding) -> None:
        await _publish(transport, lane.key, 5)
        await _assert_state(transport, lane.queue, waiting=5, consumers=0)
        consumer = await transport.subscribe(lane.queue, prefetch=2)
        held = await _take(consumer, 2)
        await _assert_state(transport, lane.queue, waiting=3, consumers=1)
        await consumer.stop()
        await consumer.give_back(held)
        await _assert_state(transport, lane.queue, waiting=5, consumers=0)

    async def test_an_unknown_queue_has_no_state(self, transport: Transport, topology: Topology) -> None:
        state = await transport.state(topology.task_queue("api", "nobody"))
        assert state == QueueState(waiting=0, consumers=0)

    async def test_a_queue_outside_the_topology_is_refused(self, transport: Transport, topology: Topology) -> None:
        with pytest.raises(ConfigurationError):
            await transport.subscribe(f"{topology.instructions_queue}.other", prefetch=1)


def _items(key: str, count: int) -> list[Outgoing]:
    return [
        Outgoing(key, Message(body=b"%d" % number, message_id=str(uuid4()), headers={HEADER_REQUEST_ID: str(number)}))
        for number in range(count)
    ]


async def _publish(transport: Transport, key: str, count: int) -> list[Outgoing]:
    """New messages that were all confirmed."""
    items = _items(key, count)
    assert list(await transport.publish(items)) == [None] * count
    return items


def _ids(items: Iterable[Outgoing | Delivery]) -> list[str]:
    return [item.message.message_id for item in items]


async def _batch(consumer: Subscription, limit: int, window: float) -> Sequence[Delivery]:
    async with asyncio.timeout(_PATIENCE):
        return await consumer.batch(limit, window)


async def _take(consumer: Subscription, count: int, *, limit: int | None = None) -> list[Delivery]:
    """At least ``count`` deliveries; without a ``limit`` for each batch, exactly as many."""
    taken: list[Delivery] = []
    while len(taken) < count:
        batch = await _batch(consumer, limit or count - len(taken), 0.0)
        assert batch, "the subscription ended"
        taken += batch
    return taken


async def _settle(consumer: Subscription, how: str, delivery: Delivery) -> None:
    if how == "ack":
        await consumer.ack([delivery])
    elif how == "give_back":
        await consumer.give_back([delivery])
    else:
        await consumer.dead_letter(delivery, "refused")


async def _dead_letter(transport: Transport, topology: Topology) -> Message:
    """The only message in the dead letters."""
    consumer = await transport.subscribe(topology.dead_queue, prefetch=10)
    (delivery,) = await _take(consumer, 1, limit=10)
    await consumer.ack([delivery])
    await consumer.stop()
    return delivery.message


async def _assert_empty(transport: Transport, lane: Binding) -> None:
    """Nothing is left: what is published now is the first thing that a new consumer gets."""
    (last,) = await _publish(transport, lane.key, 1)
    consumer = await transport.subscribe(lane.queue, prefetch=10)
    assert _ids(await _take(consumer, 1, limit=10)) == _ids([last])


async def _assert_state(transport: Transport, queue: str, *, waiting: int, consumers: int) -> None:
    """The counts are these, now or in a moment: a broker may tell them late, and nothing announces them."""
    expected = QueueState(waiting=waiting, consumers=consumers)
    async with asyncio.timeout(_PATIENCE):
        while await transport.state(queue) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
