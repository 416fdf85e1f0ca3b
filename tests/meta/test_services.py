"""The servers that tests run against: private, real, and gone when the tests are."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import psutil
from tests.services import Broker, fresh_database

OWNER = """
import sys
from tests.services import Sandbox
sandbox = Sandbox("orphan")
process = sandbox.spawn(["sleep", "600"], {"PATH": sys.argv[1]})
print(process.pid, sandbox.folder, sandbox._reaper.pid, flush=True)
sys.stdin.read()
"""


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url.replace("+asyncpg", ""))


async def test_a_database_is_empty_and_of_its_own(postgres_server_url: str, postgres_url: str) -> None:
    with fresh_database(postgres_server_url) as other:
        first, second = await connect(postgres_url), await connect(other)
        try:
            await second.execute("CREATE TABLE only_here (id int)")
            assert await first.fetchval("SELECT to_regclass('only_here')") is None
            assert await second.fetchval("SHOW server_encoding") == "UTF8"
        finally:
            await first.close()
            await second.close()


async def test_a_killed_broker_comes_back_with_what_it_confirmed(rabbitmq: Broker) -> None:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("smoke", durable=True, arguments={"x-queue-type": "quorum"})
        message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "smoke")
    await asyncio.to_thread(rabbitmq.restart)
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("smoke", passive=True)
        delivery = await queue.get(timeout=30)
        assert delivery.body == b"{}"
        await delivery.ack()
        await queue.delete(if_unused=False, if_empty=False)


def test_a_server_does_not_outlive_tests_that_were_killed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "/usr/bin:/bin"],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        pid, folder, reaper = owner.stdout.readline().split()
        processes = [psutil.Process(int(pid)), psutil.Process(int(reaper))]
        owner.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert not Path(folder).exists()
