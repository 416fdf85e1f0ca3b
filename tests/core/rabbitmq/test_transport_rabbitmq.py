"""The transport over RabbitMQ, on a real broker: every rule of the suite, and what only a broker can do to it."""

import asyncio
import struct
from collections import Counter
from uuid import uuid4

import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame
from pamqp.commands import Basic
from yarl import URL

from checking_core.errors import BrokerUnavailableError, PublishError, UnroutableError
from checking_core.log.setup import _is_news as is_news
from checking_core.testing import TransportConformance
from checking_core.transport import HEADER_FIRST_QUEUE, HEADER_REASON, Message, Outgoing, QueueState, Topology
from checking_core.transport.rabbitmq import RabbitTransport

from .rabbit import PATIENCE, forget, names_of, outgoing, started, take

MEMORY = "vm_memory_monitor:set_vm_memory_high_watermark({})."


class TestRabbitTransport(TransportConformance):
    @pytest.fixture
    async def transport(self, rabbitmq, topology):
        async with started(rabbitmq.url, topology) as transport:
            yield transport
        await forget(rabbitmq.url, topology)

    async def crash(self, subscription):
        await subscription._channel.close()


async def outcome(call):
    try:
        return await call
    except BrokerUnavailableError as error:
        return error


async def publish_until_taken(transport, items):
    async with asyncio.timeout(PATIENCE):
        while any(await transport.publish(items)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# --- publish --------------------------------------------------------------------------------------------------


async def test_of_a_thousand_unroutable_among_a_thousand_routable_each_has_its_own_outcome(transport, queue, key):
    good, lost = outgoing(key, *map(str, range(1000))), outgoing("nobody", *map(str, range(1000, 2000)))
    outcomes = await transport.publish([item for pair in zip(good, lost, strict=True) for item in pair])
    assert outcomes[::2] == [None] * 1000
    assert [type(outcome) for outcome in outcomes[1::2]] == [UnroutableError] * 1000
    consumer = await transport.subscribe(queue, prefetch=1000)
    assert names_of(await take(consumer, 1000)) == [item.message.message_id for item in good]


@pytest.mark.parametrize("name", ["same", ""])
async def test_messages_of_one_id_are_told_apart(transport, queue, key, name):
    keys = ["nobody", key, "nobody", key, key]
    outcomes = await transport.publish([Outgoing(k, Message(body=b"{}", message_id=name)) for k in keys])
    assert [outcome is None for outcome in outcomes] == [k == key for k in keys]
    assert len(await take(await transport.subscribe(queue, prefetch=5), 3)) == 3


async def test_publishers_at_the_same_time_do_not_mix_up_their_outcomes(transport, key):
    keys = [key, "nobody"] * 10
    outcomes = await asyncio.gather(*(transport.publish(outgoing(k, *map(str, range(20)))) for k in keys))
    assert [{outcome is None for outcome in found} for found in outcomes] == [{k == key} for k in keys]
    assert len(transport._publisher._idle) <= len(keys)


async def test_a_message_that_the_protocol_has_no_room_for_fails_alone(transport, queue, key):
    wrong = [*outgoing(key, "x" * 256), *outgoing("x" * 256, "a"), *outgoing(key, "b", text="x" * 200_000)]
    outcomes = await transport.publish([*wrong, *outgoing(key, "c")])
    assert [type(outcome) for outcome in outcomes] == [PublishError, PublishError, PublishError, type(None)]
    assert names_of(await take(await transport.subscribe(queue, prefetch=5), 1)) == ["c"]


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 1_000_000])
async def test_a_body_of_any_size_arrives_whole(transport, queue, key, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert await transport.publish([Outgoing(key, Message(body=body, message_id="a"))]) == [None]
    (delivery,) = await take(await transport.subscribe(queue, prefetch=1), 1)
    assert delivery.message.body == body


async def test_a_full_queue_is_no_confirm(transport, topology, raw, rabbitmq, queue, key):
    rabbitmq.ctl("set_policy", "full", f"^{queue}$", '{"max-length": 2}', "--apply-to", "queues")
    try:
        async with asyncio.timeout(PATIENCE):
            while not any(outcomes := await transport.publish(outgoing(key, *map(str, range(10))))):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        rabbitmq.ctl("clear_policy", "full")
    assert "takes no more" in str(next(filter(None, outcomes)))


async def test_a_missing_exchange_fails_every_message_and_costs_nothing_else(transport, topology, raw, key):
    await raw.exchange_delete(topology.exchange)
    outcomes = await transport.publish(outgoing(key, "a", "b"))
    assert ["no exchange" in str(outcome) for outcome in outcomes] == [True, True]
    await raw.exchange_declare(topology.exchange, exchange_type="topic", durable=True)
    assert [type(outcome) for outcome in await transport.publish(outgoing(key, "c"))] == [UnroutableError]


async def test_a_blocked_broker_holds_publishers_back_and_lets_consumers_go_on(rabbitmq, topology, queue, key):
    transport = RabbitTransport(rabbitmq.url, topology, publish_timeout=0.5)
    await transport.start()
    consumer = await transport.subscribe(queue, prefetch=1)
    await transport.publish(outgoing(key, "before", "next"))
    held = await take(consumer, 1)
    rabbitmq.ctl("eval", MEMORY.format("0.0"))
    try:
        sent, unsent = await transport.publish(outgoing(key, "sent")), await transport.publish(outgoing(key, "unsent"))
        assert "did not confirm the message within 0.5 s" in str(sent)
        assert "takes no messages: it is short of memory" in str(unsent)
        with pytest.raises(PublishError):
            await consumer.dead_letter(held[0], "refused")
        await consumer.ack(held)
        held = await take(consumer, 1)
        assert names_of(held) == ["next"]
    finally:
        rabbitmq.ctl("eval", MEMORY.format("0.9"))
    await publish_until_taken(transport, outgoing(key, "after"))
    await consumer.ack(held)
    assert names_of(await take(consumer, 1)) == ["sent"]
    await transport.close()


# --- consume --------------------------------------------------------------------------------------------------


async def test_a_consumer_survives_its_queue(transport, raw, queue, key):
    await transport.publish(outgoing(key, "a"))
    consumer = await transport.subscribe(queue, prefetch=10)
    held = await take(consumer, 1)
    waiting = asyncio.create_task(take(consumer, 1))
    await raw.queue_delete(queue)
    await publish_until_taken(transport, outgoing(key, "b"))
    assert names_of(await waiting) == ["b"]
    await consumer.ack(held)


async def test_a_queue_that_comes_back_as_another_kind_is_waited_for(transport, raw, queue):
    consumer = await transport.subscribe(queue, prefetch=10)
    await raw.queue_delete(queue)
    await raw.queue_declare(queue, durable=True, arguments={"x-queue-type": "classic"})
    with pytest.raises(BrokerUnavailableError, match="let it run empty and delete it"):
        await take(consumer, 1)


async def test_what_was_on_loan_when_the_channel_was_lost_comes_again_whatever_is_done_about_it(transport, queue, key):
    await transport.publish(outgoing(key, "a", "b", "c"))
    consumer = await transport.subscribe(queue, prefetch=3)
    lost = await take(consumer, 3)
    await consumer._channel.close()
    again = await take(consumer, 3)
    await consumer.ack(lost[:1])
    await consumer.give_back(lost[1:2])
    await consumer.dead_letter(lost[2], "refused")
    for call in (consumer.ack(lost[:1]), consumer.give_back(lost[1:2]), consumer.dead_letter(lost[2], "refused")):
        with pytest.raises(ValueError, match="settled"):
            await call
    assert [(name, delivery.tries) for name, delivery in zip(names_of(again), again, strict=True)] == [
        ("a", 1),
        ("b", 1),
        ("c", 1),
    ]
    await consumer.ack(again)
    await consumer.stop()
    assert await transport.state(queue) == QueueState(waiting=0, consumers=0)


async def test_a_connection_that_was_lost_is_opened_again_by_whoever_needs_it(transport, queue, key):
    consumer = await transport.subscribe(queue, prefetch=3)
    for connection in (transport._publishing._connection, transport._consuming._connection):
        await connection.close()
    assert await transport.publish(outgoing(key, "a")) == [None]
    assert names_of(await take(consumer, 1)) == ["a"]


async def test_a_dead_letter_that_the_broker_does_not_take_stays_on_loan(transport, topology, raw, queue, key):
    await transport.publish(outgoing(key, "a"))
    consumer = await transport.subscribe(queue, prefetch=1)
    held = await take(consumer, 1)
    await raw.exchange_delete(topology.dead_exchange)
    with pytest.raises(PublishError):
        await consumer.dead_letter(held[0], "refused")
    await raw.exchange_declare(topology.dead_exchange, exchange_type="fanout", durable=True)
    with pytest.raises(UnroutableError):
        await consumer.dead_letter(held[0], "refused")
    await raw.queue_bind(topology.dead_queue, topology.dead_exchange)
    await consumer.dead_letter(held[0], "refused")
    (letter,) = await take(await transport.subscribe(topology.dead_queue, prefetch=1), 1)
    assert letter.message.headers == {HEADER_REASON: "refused", HEADER_FIRST_QUEUE: queue}


async def test_a_dead_letter_refused_again_keeps_its_first_queue(transport, topology, queue, key):
    await transport.publish(outgoing(key, "a", **{HEADER_FIRST_QUEUE: "forged"}))
    consumer = await transport.subscribe(queue, prefetch=1)
    await consumer.dead_letter((await take(consumer, 1))[0], "refused")
    undertaker = await transport.subscribe(topology.dead_queue, prefetch=1)
    await undertaker.dead_letter((await take(undertaker, 1))[0], "store")
    (letter,) = await take(undertaker, 1)
    assert letter.message.headers == {HEADER_REASON: "store", HEADER_FIRST_QUEUE: queue}


async def test_a_message_of_unreadable_properties_costs_no_connection(transport, raw, topology, queue, key):
    await transport.publish(outgoing(key, "before"))
    for flag, value in (("timestamp", struct.pack(">Q", 2**63)), ("message_id", b"\x02\xff\xfe")):
        method = pamqp.frame.marshal(Basic.Publish(exchange=topology.exchange, routing_key=key), raw.number)
        header = struct.pack(">HHQH", Basic.frame_id, 0, 2, Basic.Properties.flags[flag]) + value
        frames = b"".join(
            struct.pack(">BHI", kind, raw.number, len(payload)) + payload + b"\xce"
            for kind, payload in ((2, header), (3, b"[]"))
        )
        answer = raw.create_future()
        raw.delivery_tag += 1
        raw.confirmations[raw.delivery_tag] = answer
        await raw.write_queue.put(ChannelFrame(payload=method + frames, should_close=False))
        await answer
    await transport.publish(outgoing(key, "after"))
    taken = await take(await transport.subscribe(queue, prefetch=10), 4)
    assert [(delivery.message.message_id, delivery.message.body, delivery.tries) for delivery in taken] == [
        ("before", b"{}", 0),
        ("", b"[]", 0),
        ("", b"[]", 0),
        ("after", b"{}", 0),
    ]


async def test_ended_subscriptions_are_forgotten_and_leave_no_channel(transport, queue):
    for _ in range(10):
        await (await transport.subscribe(queue, prefetch=1)).stop()
    assert len(transport._subscriptions) == 1
    async with asyncio.timeout(PATIENCE):
        while transport._consuming._connection.channels:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_stop_loses_no_ack_however_soon_the_transport_is_closed(rabbitmq, topology, queue, key):
    for _ in range(5):
        transport = RabbitTransport(rabbitmq.url, topology)
        await transport.start()
        await transport.publish(outgoing(key, *map(str, range(50))))
        consumer = await transport.subscribe(queue, prefetch=100)
        held = await take(consumer, 50)
        assert [delivery.tries for delivery in held] == [0] * 50
        await asyncio.gather(consumer.stop(), consumer.ack(held[::2]), consumer.stop())
        await consumer.ack(held[1::2])
        await transport.close()


# --- the broker goes away -------------------------------------------------------------------------------------


async def test_an_operator_who_closes_all_connections_costs_no_traceback(rabbitmq, transport, queue, key, caplog):
    consumer = await transport.subscribe(queue, prefetch=1)
    await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "just so")
    await publish_until_taken(transport, outgoing(key, "a"))
    assert names_of(await take(consumer, 1)) == ["a"]
    assert any("just so" in record.getMessage() for record in caplog.records)
    assert [record.getMessage() for record in caplog.records if record.exc_info and is_news(record)] == []


async def test_a_broker_that_comes_back_empty_gets_its_topology_again(rabbitmq):
    url, vhost = URL(rabbitmq.url), f"test-{uuid4().hex[:8]}"
    create = [("add_vhost", vhost), ("set_permissions", "-p", vhost, url.user, ".*", ".*", ".*")]
    for command in create:
        rabbitmq.ctl(*command)
    topology = Topology()
    async with started(str(url.with_path(f"/{vhost}")), topology) as transport:
        consumer = await transport.subscribe(topology.instructions_queue, prefetch=10)
        rabbitmq.ctl("delete_vhost", vhost)
        async with asyncio.timeout(PATIENCE):
            while not isinstance(await outcome(consumer.batch(1, 0.0)), BrokerUnavailableError):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for call in (consumer.batch(1, 0.0), transport.state(topology.dead_queue)):
            assert isinstance(await outcome(call), BrokerUnavailableError)
        items = outgoing(topology.execution_result_key, "a")
        assert isinstance((await transport.publish(items))[0], PublishError)
        for command in create:
            rabbitmq.ctl(*command)
        await publish_until_taken(transport, items)
        assert names_of(await take(consumer, 1)) == ["a"]
        rabbitmq.ctl("delete_vhost", vhost)


class Traffic:
    """A publisher and a consumer who go on whatever happens, and what both know."""

    def __init__(self, transport, queue, key):
        self.transport, self.queue, self.key = transport, queue, key
        self.confirmed: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.enough = asyncio.Event()

    async def publish(self):
        while not self.enough.is_set():
            items = outgoing(self.key, *(str(uuid4()) for _ in range(50)))
            outcomes = await self.transport.publish(items)
            self.confirmed |= {
                item.message.message_id for item, error in zip(items, outcomes, strict=True) if not error
            }
            if any(outcomes):
                await asyncio.sleep(0.1)

    async def consume(self):
        consumer = await self.transport.subscribe(self.queue, prefetch=100)
        while True:
            try:
                batch = await consumer.batch(50, 0.01)
            except BrokerUnavailableError:
                await asyncio.sleep(0.1)
                continue
            self.seen.update(names_of(batch))
            await consumer.ack(batch)

    async def confirms(self, count):
        """Wait for so many more of them."""
        target = len(self.confirmed) + count
        while len(self.confirmed) < target:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_nothing_that_was_confirmed_is_lost_when_the_broker_dies_under_load(rabbitmq):
    # Its queues stay. RabbitMQ 3.10 that starts a queue as it is deleted ends dead-lettering for all queues: every
    # other one fails with an internal error from then on.
    names = Topology().prefixed(f"test-{uuid4().hex[:12]}.")
    transport = RabbitTransport(rabbitmq.url, names)
    await transport.start()
    traffic = Traffic(transport, names.instructions_queue, names.execution_result_key)
    async with asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as group:
        publishing, consuming = group.create_task(traffic.publish()), group.create_task(traffic.consume())
        await traffic.confirms(500)
        await asyncio.to_thread(rabbitmq.restart)
        await traffic.confirms(500)
        traffic.enough.set()
        await publishing
        while not traffic.confirmed <= traffic.seen.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        consuming.cancel()
    await transport.close()
    assert max(traffic.seen.values()) <= 2
