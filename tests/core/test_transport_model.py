"""The in-process transport against a model: whatever happens in whatever order, each message is in one place."""

import asyncio
import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from checking_core.transport import DELIVERY_LIMIT, Message, Outgoing, Topology
from checking_core.transport.memory import MemoryTransport

TOPOLOGY = Topology()
QUEUE, KEY = TOPOLOGY.task_queue("api", "mock"), TOPOLOGY.task_key("api", "mock")
LIMIT = TOPOLOGY.delivery_limit(QUEUE)


def number_of(delivery) -> int:
    return int(delivery.message.message_id)


class TransportMachine(RuleBasedStateMachine):
    """The model: every number published is waiting, on loan to one consumer, acked or dead: one of these."""

    consumers = Bundle("consumers")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.transport = MemoryTransport(TOPOLOGY)
        self.published = 0
        self.waiting: set[int] = set()
        self.loans: dict[object, dict] = {}  # consumer -> the deliveries it holds
        self.room: dict[object, int] = {}  # consumer that is not stopped -> prefetch
        self.dead: list[tuple[int, str]] = []
        self.tries: dict[int, int] = {}
        self.runner.run(self.transport.start())

    def teardown(self) -> None:
        with contextlib.closing(self.runner):
            self.runner.run(self.what_is_left_comes_in_order())

    async def what_is_left_comes_in_order(self) -> None:
        """Closing gives every loan back; the next process gets what waits, and nothing besides."""
        await self.transport.close()
        for held in self.loans.values():
            self.returned(held)
        self.the_list_of_dead_letters_is_complete()
        await self.transport.start()
        last = await self.transport.subscribe(QUEUE, prefetch=1000)
        waiting = sorted(self.waiting)
        if waiting:
            assert [number_of(delivery) for delivery in await self.batch_or_wait(last, 1000)] == waiting
        assert (await self.transport.state(QUEUE)).waiting == 0
        await self.transport.close()

    def returned(self, deliveries) -> None:
        for delivery in deliveries:
            number = number_of(delivery)
            if delivery.tries + 1 > LIMIT:
                self.dead.append((number, DELIVERY_LIMIT))
            else:
                self.waiting.add(number)

    @rule(count=st.integers(1, 8))
    def publish(self, count) -> None:
        numbers = range(self.published, self.published + count)
        items = [Outgoing(KEY, Message(body=b"", message_id=str(number))) for number in numbers]
        outcomes = self.runner.run(self.transport.publish(items))
        served = bool(self.loans)
        assert [outcome is None for outcome in outcomes] == [served] * count
        if served:
            self.published += count
            self.waiting.update(numbers)

    @rule(target=consumers, prefetch=st.integers(1, 6))
    def subscribe(self, prefetch):
        consumer = self.runner.run(self.transport.subscribe(QUEUE, prefetch=prefetch))
        self.loans[consumer] = {}
        self.room[consumer] = prefetch
        return consumer

    @rule(consumer=consumers, limit=st.integers(1, 8))
    def batch(self, consumer, limit) -> None:
        """The oldest that wait, no more than fit; nothing for one that is stopped; a wait where there is nothing."""
        held = self.loans[consumer]
        fit = min(limit, self.room.get(consumer, 0) - len(held))
        expected = sorted(self.waiting)[: max(fit, 0)]
        taken = self.runner.run(self.batch_or_wait(consumer, limit))
        if consumer in self.room and not expected:
            assert taken is None
            return
        assert [number_of(delivery) for delivery in taken] == expected
        for delivery in taken:
            number = number_of(delivery)
            assert delivery.tries == self.tries.get(number, 0)
            self.tries[number] = delivery.tries + 1
            held[delivery] = None
        self.waiting.difference_update(expected)

    async def batch_or_wait(self, consumer, limit):
        """A batch, or ``None`` if it would wait: it is cancelled then and must have taken nothing."""
        batch = asyncio.create_task(consumer.batch(limit, 0))
        await asyncio.sleep(0)
        if batch.done():
            return batch.result()
        batch.cancel()
        await asyncio.wait([batch])
        return None

    def some_of(self, consumer, data) -> list:
        """A part of what a consumer holds, in any order."""
        held = list(self.loans[consumer])
        chosen = data.draw(st.lists(st.sampled_from(held), unique=True)) if held else []
        for delivery in chosen:
            del self.loans[consumer][delivery]
        return chosen

    @rule(consumer=consumers, data=st.data())
    def ack(self, consumer, data) -> None:
        self.runner.run(consumer.ack(self.some_of(consumer, data)))

    @rule(consumer=consumers, data=st.data())
    def give_back(self, consumer, data) -> None:
        chosen = self.some_of(consumer, data)
        self.runner.run(consumer.give_back(chosen))
        self.returned(chosen)

    @rule(consumer=consumers, data=st.data())
    def dead_letter(self, consumer, data) -> None:
        for delivery in self.some_of(consumer, data):
            self.runner.run(consumer.dead_letter(delivery, "refused"))
            self.dead.append((number_of(delivery), "refused"))

    @rule(consumer=consumers)
    def stop(self, consumer) -> None:
        self.runner.run(consumer.stop())
        self.room.pop(consumer, None)

    @rule(consumer=consumes(consumers))
    def crash(self, consumer) -> None:
        self.runner.run(consumer.abandon())
        self.room.pop(consumer, None)
        self.returned(self.loans[consumer])
        self.loans[consumer] = {}

    @invariant()
    def everything_is_accounted_for(self) -> None:
        state = self.runner.run(self.transport.state(QUEUE))
        assert (state.waiting, state.consumers) == (len(self.waiting), len(self.room))

    @invariant()
    def the_list_of_dead_letters_is_complete(self) -> None:
        letters = [(int(message.message_id), reason) for message, reason, _ in self.transport.dead_letters]
        assert sorted(letters) == sorted(self.dead)


TransportMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestNothingIsLostDoubledOrReordered = TransportMachine.TestCase
