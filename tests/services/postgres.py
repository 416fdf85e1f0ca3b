"""A private PostgreSQL: a cluster of its own on a free port, thrown away with everything in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from .sandbox import Sandbox, UnavailableServiceError, free_ports, unprivileged

__all__ = ["PrivatePostgres", "fresh_database", "postgres_bindir", "postgres_server"]

# What makes a server slow is what makes it survive a power cut; this one need not.
_PRIVATE = (
    "max_connections=100",
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "log_min_messages=error",
)
_HASTY = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "autovacuum=off",
    "shared_buffers=64MB",
)
"""What a server may leave out whose data is thrown away; one that is measured may not."""


def postgres_bindir() -> Path | None:
    """The folder of the newest PostgreSQL server here that really runs.

    What stands first on ``PATH`` is asked last: it may be a wrapper, or a client without a server.
    """
    return next((folder for folder in _candidates() if _runs(folder)), None)


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("CHECKING_TEST_PG_BINDIR"):
        yield Path(named)
    if config := shutil.which("pg_config"):
        asked = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False, timeout=10)
        yield Path(asked.stdout.strip())
    installed = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    yield from sorted(installed, key=_version, reverse=True)
    if initdb := shutil.which("initdb"):
        yield Path(initdb).resolve().parent


def _version(bindir: Path) -> list[int]:
    """15 of ``15/bin``, 9.6 of ``pgsql-9.6/bin``."""
    return [int(part) for part in bindir.parent.name.split("-")[-1].split(".") if part.isdigit()]


def _runs(folder: Path) -> bool:
    """Whether both programs say that they are PostgreSQL's, asked as the account that will run them."""
    for program in ("initdb", "postgres"):
        try:
            asked = subprocess.run(
                [folder / program, "--version"],
                capture_output=True,
                text=True,
                check=False,
                timeout=10,
                cwd="/",
                **unprivileged(),
            )
        except (OSError, subprocess.SubprocessError):
            return False
        if asked.returncode != 0 or "(PostgreSQL)" not in asked.stdout:
            return False
    return True


class PrivatePostgres:
    """A cluster on a free port that a test may kill and start; ``close`` ends it and removes every trace.

    Args:
        durable: with PostgreSQL's own defaults for safety and size, as a benchmark needs it.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._options = _PRIVATE if durable else _PRIVATE + _HASTY
        if (bindir := postgres_bindir()) is None:
            raise UnavailableServiceError("no PostgreSQL server is installed")
        self._bindir = bindir
        self._process: subprocess.Popen[bytes] | None = None
        (self._port,) = free_ports(1)
        self._sandbox = Sandbox("postgres", unprivileged())
        self._env = {"PATH": os.environ["PATH"], "HOME": str(self._sandbox.folder), "LC_ALL": "C", "TZ": "UTC"}
        self._data = self._sandbox.folder / "data"
        try:
            self._sandbox.run(
                [
                    bindir / "initdb",
                    "-D",
                    self._data,
                    "-U",
                    "checking",
                    "-A",
                    "trust",
                    "-E",
                    "UTF8",
                    "--locale=C",
                    "-N",
                ],
                self._env,
            )
        except BaseException:
            self._sandbox.close()
            raise

    @property
    def url(self) -> str:
        """The database that every cluster has, as a user who may do everything."""
        return f"postgresql+asyncpg://checking@127.0.0.1:{self._port}/postgres"

    @property
    def pid(self) -> int:
        """The server's process, whose children do the work."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for option in self._options for part in ("-c", option)]
        command = [self._bindir / "postgres", "-D", self._data, "-p", str(self._port), *options]
        self._process = self._sandbox.spawn(command, self._env, ends_by=signal.SIGQUIT)
        self._sandbox.wait_for_port(self._port, self._process, within=30)
        _wait_until_ready(self.url, within=30)

    def stop(self) -> None:
        """End the server as its administrator would: it hangs up, and what it committed is in its files."""
        if self._process is not None:
            self._sandbox.end(self._process, signal.SIGINT)
            self._process = None

    def kill(self) -> None:
        """End the server as a power cut would; what it committed is in its files."""
        if self._process is not None:
            self._sandbox.kill(self._process)
            self._process = None

    def close(self) -> None:
        """End everything and remove the folder."""
        self._process = None
        self._sandbox.close()


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a new server, ready to be asked; raises ``UnavailableServiceError``."""
    with contextlib.closing(PrivatePostgres()) as server:
        server.start()
        yield server.url


def _wait_until_ready(url: str, within: float) -> None:
    """An open port is not enough: a server that recovers listens and refuses."""
    end = time.monotonic() + within
    while True:
        try:
            return _execute(url)
        except (OSError, asyncpg.PostgresError) as error:
            if time.monotonic() > end:
                raise UnavailableServiceError(f"PostgreSQL does not answer: {error}") from error
            time.sleep(0.05)


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Yield the URL of an empty database on a server; it is dropped afterwards."""
    name = f"checking_test_{secrets.token_hex(6)}"
    try:
        _execute(server_url, f'CREATE DATABASE "{name}"')
    except (OSError, asyncpg.PostgresError) as error:
        raise UnavailableServiceError(f"cannot create a database there: {error}") from error
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        _execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def _execute(url: str, *statements: str) -> None:
    """Connect, run, disconnect: in a thread, because the tests' own event loop belongs to the main one."""

    async def work() -> None:
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    _in_a_thread(work())


def _in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()
