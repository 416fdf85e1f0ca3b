"""Dramatiq: it has no results over RabbitMQ, so the actor enqueues its answer as a message for nobody."""

import os
import time
from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from job import PREFETCH, RESULTS, TASK, TASKS, URL, WAIT, answer, to_send

os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112 - its name is Dramatiq's


class QuorumBroker(RabbitmqBroker):  # type: ignore[misc]
    """It has no option for the type of its queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return {**super()._build_queue_arguments(queue_name), "x-queue-type": "quorum"}


broker = QuorumBroker(url=URL, confirm_delivery=__name__ != "__main__")
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=TASKS)
def look(task: dict[str, Any]) -> None:
    if WAIT:
        time.sleep(WAIT)
    broker.enqueue(
        dramatiq.Message(queue_name=RESULTS, actor_name="result", args=(answer(task),), kwargs={}, options={})
    )


if __name__ == "__main__":
    for _ in to_send():
        look.send(TASK)
