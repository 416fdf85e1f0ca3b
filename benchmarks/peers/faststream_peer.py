"""FastStream: what a subscriber returns is published."""

import asyncio
from typing import Any

from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from job import PREFETCH, RESULTS, TASK, TASKS, URL, WAIT, answer, to_send

AT_A_TIME = 200

broker = RabbitBroker(URL, logger=None)
app = FastStream(broker)
tasks = RabbitQueue(TASKS, queue_type=QueueType.QUORUM, durable=True)
results = RabbitQueue(RESULTS, queue_type=QueueType.QUORUM, durable=True)


@broker.subscriber(tasks, channel=Channel(prefetch_count=PREFETCH))
@broker.publisher(RESULTS, persist=True)
async def look(task: dict[str, Any]) -> dict[str, Any]:
    if WAIT:
        await asyncio.sleep(WAIT)
    return answer(task)


async def send() -> None:
    await broker.connect()
    await broker.declare_queue(tasks)
    await broker.declare_queue(results)
    for _ in to_send()[::AT_A_TIME]:
        await asyncio.gather(*(broker.publish(TASK, TASKS, persist=True) for _ in range(AT_A_TIME)))
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(send())
