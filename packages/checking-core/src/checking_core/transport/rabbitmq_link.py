"""A connection to the broker that comes back, and what is wrong with it in words a person can act on."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TypeAlias, cast

import structlog
from aiormq.channel import Channel
from aiormq.connection import DEFAULT_PORTS, Connection
from aiormq.exceptions import AMQPError, AuthenticationError, InvalidFrameError, ProbableAuthenticationError
from yarl import URL

from checking_core.errors import BrokerUnavailableError, CheckingError, ConfigurationError
from checking_core.transport.rabbitmq_reader import ConsumingConnection

__all__ = ["BROKEN", "Channel", "Connection", "Link", "open_channel"]

log = structlog.get_logger(__name__)

OnOpen: TypeAlias = Callable[["Link", Connection], Awaitable[None]]

BROKEN = (AMQPError, OSError, RuntimeError)
"""What aiormq raises when the broker refuses or is gone; RuntimeError is its word for closed."""

_ANSWER_WITHIN = 10.0  # seconds
_CLOSE_WITHIN = 5.0
_FLUSH_WITHIN = 2.0
_HEARTBEAT = 30  # seconds; a plugin that blocks the event loop for less does not cost its connection
_FRAMES_AHEAD = 1000  # read before they are handled; with few, reader and handler wake each other all the time


class Link:
    """One connection, opened when somebody needs it, and again after it was lost.

    Args:
        url: with user and password.
        purpose: what it is for; the broker's operator sees it.
        consumes: whether deliveries come over it. Then nothing may be published on it.
        on_open: run on every new connection before anyone else gets it; what it raises ends that connection.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(self, url: str, purpose: str, *, consumes: bool = False, on_open: OnOpen | None = None) -> None:
        self._url = _parsed(url)
        self._purpose = purpose
        self._consumes = consumes
        self._on_open = on_open
        self._wanted = False
        self._was_open = False
        self._connection: Connection | None = None
        self._attempt: asyncio.Task[Connection] | None = None
        self._discarded: set[asyncio.Task[None]] = set()

    @property
    def place(self) -> str:
        """Host and port: no secrets."""
        return f"{self._url.host}:{self._url.port or DEFAULT_PORTS[self._url.scheme]}"

    @property
    def user(self) -> str:
        """Who we are there."""
        return self._url.user or "guest"

    async def open(self) -> None:
        """Connect, and from now on connect again whenever somebody needs a connection that was lost.

        Raises:
            BrokerUnavailableError: nothing answers there, or not as a broker.
            ConfigurationError: the broker refuses the user, the virtual host or the topology.
        """
        self._wanted = True
        await self.connection()

    async def connection(self) -> Connection:
        """The connection. Whoever asks while it is opened shares the attempt.

        Raises:
            BrokerUnavailableError, ConfigurationError: see ``open``; once it was open, only the former: what was right
                before is changed by somebody else, who may not be done yet.
        """
        if not self._wanted:
            raise BrokerUnavailableError("the transport is not started")
        if self._connection is not None and self._connection.is_opened:
            return self._connection
        if self._attempt is None:
            self._attempt = asyncio.create_task(self._connect())
            self._attempt.add_done_callback(self._attempted)
        try:
            with self.errors():
                return await asyncio.shield(self._attempt)
        except ConfigurationError as error:
            if self._was_open:
                raise BrokerUnavailableError(str(error)) from error
            raise

    async def channel(self, *, confirms: bool = False) -> Channel:
        """A new channel. Raises as ``connection`` does."""
        connection = await self.connection()
        with self.errors():
            return await open_channel(connection, confirms=confirms)

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Channel]:
        """A channel for a question or two. Raises as ``connection`` does; what happens in between is not translated."""
        channel = await self.channel()
        try:
            yield channel
        finally:
            self.discard(channel)

    def discard(self, channel: Channel) -> None:
        """Close a channel without waiting for it."""
        closing = asyncio.create_task(channel.close())
        self._discarded.add(closing)
        closing.add_done_callback(self._discarded.discard)

    async def close(self) -> None:
        """Disconnect. May be called twice, and opened again."""
        self._wanted = False
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait([self._attempt])
        if self._discarded:  # what was acked on them has to leave first
            await asyncio.wait(self._discarded, timeout=_FLUSH_WITHIN)
        connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.wait([asyncio.create_task(connection.close())], timeout=_CLOSE_WITHIN)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what a broken connection raises into ``BrokerUnavailableError``."""
        try:
            yield
        except asyncio.CancelledError as error:
            # Whoever waits for an answer is cancelled by aiormq when it closes: that is no order to end.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise BrokerUnavailableError(f"the connection to the broker at {self.place} was closed") from error
        except TimeoutError as error:
            raise BrokerUnavailableError(f"the broker at {self.place} does not answer") from error
        except BROKEN as error:
            raise BrokerUnavailableError(f"the broker at {self.place} is away: {error}") from error

    async def _connect(self) -> Connection:
        name = f"checking {self._purpose} {socket.gethostname()} {os.getpid()}"
        kind = ConsumingConnection if self._consumes else Connection
        connection = kind(self._url, client_properties={"connection_name": name})
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                await connection.connect()
        except BROKEN as error:
            raise self._refusal(error) from error
        async with AsyncExitStack() as half_open:
            half_open.push_async_callback(connection.close)
            if self._on_open is not None:
                with self.errors():
                    await self._on_open(self, connection)
            half_open.pop_all()
        self._connection = connection
        self._was_open = True
        log.info("broker_connected", broker=self.place, user=self.user, purpose=self._purpose)
        return connection

    def _attempted(self, attempt: asyncio.Task[Connection]) -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # whoever waited has it; if nobody did any more, nobody is to be told

    def _refusal(self, error: BaseException) -> CheckingError:
        """What a person has to do about a connection that did not come about."""
        wrong = self._wrong(error)
        return ConfigurationError(wrong) if wrong else BrokerUnavailableError(self._absent(error))

    def _wrong(self, error: BaseException) -> str | None:
        if isinstance(error, AuthenticationError | ProbableAuthenticationError):
            return f"the broker at {self.place} refuses user {self.user}: correct its name or password"
        if isinstance(error, InvalidFrameError) and "Connection.OpenOk" in str(error):  # instead of which it hung up
            return (
                f"the broker at {self.place} does not let user {self.user} into virtual host {_vhost(self._url)}: "
                "create it and grant it, or correct its name"
            )
        if isinstance(error.__cause__, ssl.SSLError):
            reason = error.__cause__.reason or error.__cause__
            return f"no trusted TLS connection to the broker at {self.place} ({reason}): check port and certificates"
        return None

    def _absent(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"nothing answers at {self.place}: check host, port and network"
        if isinstance(error.__cause__, socket.gaierror):
            return f"the broker's host {self._url.host} is not known: correct the name"
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, ConnectionResetError):
            return f"no broker listens at {self.place}: start it, or correct its host and port"
        return f"what answers at {self.place} is no broker that is ready: {error}"


async def open_channel(connection: Connection, *, confirms: bool = False) -> Channel:
    """A new channel. Raises what ``aiormq`` raises, and ``TimeoutError``."""
    async with asyncio.timeout(_ANSWER_WITHIN):
        channel = await connection.channel(publisher_confirms=confirms, frame_buffer_size=_FRAMES_AHEAD)
    return cast("Channel", channel)


def _parsed(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in DEFAULT_PORTS or not url.host:
        raise ConfigurationError("the broker's URL cannot be read: write amqp://user:password@host:5672/%2Fvhost")
    return url if "heartbeat" in url.query else url.update_query(heartbeat=_HEARTBEAT)


def _vhost(url: URL) -> str:
    return url.path[1:].replace("%2F", "/") or "/"
