"""Celery: its own result backend rpc:// sends the answers."""

import time
from typing import Any

from celery import Celery
from job import PREFETCH, RESULTS, TASK, TASKS, URL, WAIT, answer, to_send
from kombu import Connection, Queue

QUORUM = {"x-queue-type": "quorum"}

app = Celery("peer", broker=URL, backend="rpc://")
app.conf.update(
    task_acks_late=True,
    task_queues=[Queue(TASKS, routing_key=TASKS, queue_arguments=QUORUM)],
    task_default_queue=TASKS,
    result_persistent=True,
    broker_transport_options={"confirm_publish": __name__ != "__main__"},
    worker_prefetch_multiplier=PREFETCH,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="look")
def look(task: dict[str, Any]) -> dict[str, Any]:
    if WAIT:
        time.sleep(WAIT)
    return answer(task)


if __name__ == "__main__":
    with Connection(URL) as connection:
        Queue(RESULTS, queue_arguments=QUORUM)(connection).declare()
    for _ in to_send():
        look.apply_async((TASK,), reply_to=RESULTS)
