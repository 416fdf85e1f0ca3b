"""``checking-worker run`` as a process, and whoever sends it tasks: a plain client of the broker, none of ours."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel

from .command import PATIENCE, environment

WORKER = os.environ.get("CHECKING_TEST_WORKER") or str(Path(sys.executable).with_name("checking-worker"))
"""The command under test: another installation's where the variable says so."""


class Bus:
    """The broker as somebody sees it who knows only the names on it."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def send(self, backend: str, **config: Any) -> str:
        """Publish a task for a backend; gives its id."""
        task_id = str(uuid4())
        task = {
            "task_id": task_id,
            "detection_execution_id": str(uuid4()),
            "operation_id": str(uuid4()),
            "detection_type": "api",
            "detection_platform": backend,
            "detection_config": {"query": "user:root", **config},
            "created_at": "2026-01-15T09:00:03Z",
            "execution_context": {"agent_host": "ws01", "agent_paw": "paw"},
            "max_retries": 0,
        }
        asyncio.run(self._publish(f"checking.api.task.{backend}", json.dumps(task).encode()))
        return task_id

    def results(self, *task_ids: str) -> dict[str, dict[str, Any]]:
        """The results that come until each of these tasks has one, by task. One may come twice."""
        found: dict[str, dict[str, Any]] = {}
        while not found.keys() >= set(task_ids):
            ((body, _),) = asyncio.run(self._take("api.responses", 1))
            result = json.loads(body)
            found[result["id"]] = result
        return found

    def dead_letters(self, count: int = 1) -> list[dict[str, Any]]:
        """The next dead letters: what the broker says of each."""
        return [headers["x-death"][0] for _, headers in asyncio.run(self._take("dead", count))]

    def waiting(self, queue: str) -> int:
        """Messages that nobody has on loan."""
        return asyncio.run(self._state(queue))[0]

    def consumers(self, queue: str) -> int:
        return asyncio.run(self._state(queue))[1]

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        async with await aio_pika.connect(self.url) as connection:
            yield await connection.channel(on_return_raises=True)

    async def _publish(self, key: str, body: bytes) -> None:
        async with self._channel() as channel:
            exchange = await channel.get_exchange(f"{self.prefix}caldera.checking.exchange", ensure=False)
            await exchange.publish(aio_pika.Message(body), self.prefix + key)

    async def _take(self, queue: str, count: int) -> list[tuple[bytes, dict[str, Any]]]:
        found: list[tuple[bytes, dict[str, Any]]] = []
        async with self._channel() as channel, asyncio.timeout(PATIENCE):
            await channel.set_qos(prefetch_count=1)
            taken = await channel.get_queue(f"{self.prefix}caldera.checking.{queue}", ensure=False)
            async with taken.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    found.append((message.body, dict(message.headers)))
                    if len(found) == count:
                        break
        return found

    async def _state(self, queue: str) -> tuple[int, int]:
        async with self._channel() as channel:
            name = f"{self.prefix}caldera.checking.{queue}"
            declared = (await channel.declare_queue(name, passive=True)).declaration_result
        return declared.message_count or 0, declared.consumer_count or 0


class Working:
    """A ``checking-worker run``."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.process = process
        self._errors = errors

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._errors.read_text()

    def ended(self) -> int:
        """Its exit code, once it has ended."""
        return self.process.wait(PATIENCE)

    def ended_by(self, number: signal.Signals) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(number)
        return self.ended()


@contextmanager
def working(
    folder: Path, bus: Bus, *arguments: str, plugins: Path | None = None, **settings: object
) -> Iterator[Working]:
    """A worker that serves, killed at the end if it still runs."""
    told = {"AMQP_URL": bus.url, "TOPOLOGY_PREFIX": bus.prefix, **settings}
    errors = folder / f"worker-{uuid4()}.log"
    with (
        errors.open("w") as log,
        subprocess.Popen(
            [WORKER, "run", *arguments],
            cwd=folder,
            env=environment(folder, told, plugins),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith("checking-worker serves "), ready + errors.read_text()
            yield Working(process, errors)
        finally:
            process.kill()
