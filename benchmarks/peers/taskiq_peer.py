"""Taskiq: it has no results over RabbitMQ, so the task publishes its answer on the channel that its broker has."""

import asyncio
import json
from typing import Any

from aio_pika import DeliveryMode, Message
from job import PREFETCH, RESULTS, TASK, TASKS, URL, WAIT, answer, to_send
from taskiq_aio_pika import AioPikaBroker
from taskiq_aio_pika.queue import Queue, QueueType

AT_A_TIME = 200

broker = AioPikaBroker(
    URL,
    qos=PREFETCH,
    task_queues=[Queue(name=TASKS, type=QueueType.QUORUM)],
    dead_letter_queue=Queue(name="peer.dead", type=QueueType.QUORUM),
)


@broker.task(task_name="look")
async def look(task: dict[str, Any]) -> None:
    if WAIT:
        await asyncio.sleep(WAIT)
    message = Message(json.dumps(answer(task)).encode(), delivery_mode=DeliveryMode.PERSISTENT)
    await broker.write_channel.default_exchange.publish(message, RESULTS)


async def send() -> None:
    await broker.startup()
    await broker.write_channel.declare_queue(RESULTS, durable=True, arguments={"x-queue-type": "quorum"})
    for _ in to_send()[::AT_A_TIME]:
        await asyncio.gather(*(look.kiq(TASK) for _ in range(AT_A_TIME)))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(send())
