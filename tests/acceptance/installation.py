"""An installation of many processes: PostgreSQL, RabbitMQ with its seven users, and no right that is not needed."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aio_pika
import asyncpg
from tests.services import Broker

from checking_core.storage import migrate

from .command import CHECKING, PATIENCE, Served, environment
from .worker import WORKER

_numbers = count()

ROLES = ("admin", "publisher", "consumer", "dispatcher", "worker", "result_consumer", "monitor")
PASSWORDS = {f"RABBITMQ_{role.upper()}_PASS": f"secret of {role}" for role in ROLES}
USERS = {
    "accept": ("consumer",),
    "dispatch": ("dispatcher",),
    "gather": ("result_consumer",),
    "expire": ("monitor",),
    "api": ("monitor",),
}
"""Whose passwords a process with this role is told."""


class Part:
    """A process of the installation that is ready."""

    def __init__(self, name: str, process: subprocess.Popen[str], errors: Path, ready: str) -> None:
        self.name = name
        self.process = process
        self.ready = ready
        self._errors = errors

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._errors.read_text()

    @property
    def served(self) -> Served:
        """Its API, if it has one."""
        return Served(self.process, self.ready.split()[3], self._errors)

    def ended_by(self, number: signal.Signals) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


class Installation:
    """Names, users and a database of one test's own, set up as the how-to says.

    Args:
        folder: where the processes run.
        broker: on which a virtual host is made.
        database: empty, of PostgreSQL.
        settings: of every process, without their prefix.
    """

    def __init__(self, folder: Path, broker: Broker, database: str, **settings: object) -> None:
        self.folder = folder
        self.database = database
        self.vhost = f"/installation {next(_numbers)}"
        self._settings = {"DATABASE_URL": database, "LOG_FORMAT": "json", **settings}
        self._place = urlsplit(broker.url)
        asyncio.run(migrate.upgrade(database))
        definitions = folder / "definitions.json"
        written = self.command("broker", "definitions", "--output", str(definitions), users=ROLES)
        assert (written.returncode, written.stderr) == (0, "")
        broker.ctl("import_definitions", str(definitions))

    def command(
        self, *arguments: str, users: Sequence[str] = (), given: str | None = None, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        """Run ``checking`` to its end, knowing the passwords of these users; ``given`` is what it reads from stdin."""
        return subprocess.run(
            [CHECKING, *arguments],
            cwd=self.folder,
            env=self._environment(users, settings),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    @contextmanager
    def serving(self, roles: str, **settings: object) -> Iterator[Part]:
        """``checking serve --role``, knowing the passwords of its roles' users."""
        users = [user for role in roles.split(",") for user in USERS[role]]
        command = [str(CHECKING), "serve", "--role", roles, "--port", "0", "--no-auth"]
        with self._part(roles, command, users, settings) as part:
            yield part

    @contextmanager
    def working(self, *arguments: str, **settings: object) -> Iterator[Part]:
        """``checking-worker run``, which is told nothing of the database."""
        with self._part("worker", [WORKER, "run", *arguments], ["worker"], {"DATABASE_URL": "", **settings}) as part:
            yield part

    async def publish(self, bodies: Sequence[str]) -> None:
        """What the red team did, as its user."""
        async with self.channel("publisher") as channel:
            exchange = await channel.get_exchange("caldera.checking.exchange", ensure=False)
            persistent = aio_pika.DeliveryMode.PERSISTENT
            messages = [aio_pika.Message(body.encode(), delivery_mode=persistent) for body in bodies]
            await asyncio.gather(*(exchange.publish(message, "caldera.execution.result") for message in messages))

    @asynccontextmanager
    async def channel(self, role: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        """The broker, as a plain client with the rights of a role sees it."""
        user = {"admin": "caldera_admin", "publisher": "caldera_publisher"}.get(role, f"checking_{role}")
        secret = quote(PASSWORDS[f"RABBITMQ_{role.upper()}_PASS"], safe="")
        url = f"amqp://{user}:{secret}@{self._place.hostname}:{self._place.port}/{quote(self.vhost, safe='')}"
        async with await aio_pika.connect(url) as connection:
            yield await connection.channel(on_return_raises=True)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What the database answers, asked without any code of ours."""

        async def ask() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.database.replace("+asyncpg", "", 1))
            try:
                await connection.execute("SET search_path TO checking_engine")
                return [dict(row) for row in await connection.fetch(query)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def count(self, of: str) -> int:
        """How many rows there are ``of``: a table, and a condition if need be."""
        ((found,),) = (row.values() for row in self.rows(f"SELECT count(*) FROM {of}"))
        return int(found)

    def _environment(self, users: Sequence[str], settings: dict[str, object]) -> dict[str, str]:
        broker = {
            "RABBITMQ_HOST": str(self._place.hostname),
            "RABBITMQ_PORT": str(self._place.port),
            "RABBITMQ_VHOST": self.vhost,
        }
        known = {name: PASSWORDS[name] for user in users for name in [f"RABBITMQ_{user.upper()}_PASS"]}
        return {**environment(self.folder, {**self._settings, **settings}), **broker, **known}

    @contextmanager
    def _part(
        self, name: str, command: Sequence[str], users: Sequence[str], settings: dict[str, object]
    ) -> Iterator[Part]:
        errors = self.folder / f"{re.sub(',', '-', name)}-{next(_numbers)}.log"
        with (
            errors.open("w") as log,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(users, settings),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                ready = process.stdout.readline()
                assert ready.startswith("checking"), ready + errors.read_text()
                yield Part(name, process, errors, ready.strip())
            finally:
                process.kill()
