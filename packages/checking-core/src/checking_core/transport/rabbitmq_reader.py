"""A connection that consumes: its deliveries go straight to whoever wants them, everything else goes through aiormq.

aiormq would take a task and two queues for every delivery: as much time as all that happens to it afterwards. And it
would decode the properties on the way: one that cannot be (a time beyond the year 9999, a byte that is no UTF-8) would
end the connection, with all its consumers, and again whenever the message is delivered.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeAlias

import msgspec
import pamqp.frame
from aiormq.connection import Connection, TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.commands import Basic
from pamqp.constants import FRAME_BODY, FRAME_END_CHAR, FRAME_HEADER, FRAME_METHOD
from pamqp.heartbeat import Heartbeat
from yarl import URL

from checking_core.transport.rabbitmq_wire import Content

__all__ = ["ConsumingConnection", "Receiver"]

Receiver: TypeAlias = Callable[[Content], None]
"""Takes a delivery. It must not raise."""

_HEAD = struct.Struct(">BHI")  # type, channel, length of what follows before the end mark
_DELIVER = struct.pack(">I", Basic.Deliver.index)
_NUMBER = struct.Struct(">Q")
_SIZE_AT = 4  # in a content header, after class and weight
_SIGN_OF_LIFE = pamqp.frame.marshal(Heartbeat(), 0)
_ALIVE_FOR = 1.0  # seconds


class ConsumingConnection(Connection):
    """Publish nothing on it.

    Attributes:
        receivers: of deliveries, by the number of their channel. Without one a delivery is dropped: it belongs to a
            channel that was given up, and comes again.
    """

    def __init__(self, url: URL, **options: Any) -> None:
        self.receivers: dict[int, Receiver] = {}
        super().__init__(url, transport_factory=_Factory(self.receivers), **options)


class _Factory(TransportFactory):
    def __init__(self, receivers: dict[int, Receiver]) -> None:
        self._receivers = receivers

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See ``TransportFactory``."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await factory.create(url, **kwargs)
        return _Reader(reader, self._receivers), writer


class _Begun(msgspec.Struct):
    """A delivery of which not all frames have arrived."""

    tag: int
    header: bytes = b""
    missing: int = 0
    parts: list[bytes] = []


class _Reader(asyncio.StreamReader):
    """Hands out one frame after the other, in the pieces that are asked for; a piece never spans two frames."""

    def __init__(self, reader: asyncio.StreamReader, receivers: dict[int, Receiver]) -> None:
        super().__init__()
        self._reader = reader
        self._receivers = receivers
        self._begun: dict[int, _Begun] = {}
        self._frame = b""
        self._taken = 0
        self._handed_out_at = 0.0

    def at_eof(self) -> bool:
        """See ``StreamReader``."""
        return self._taken == len(self._frame) and self._reader.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """See ``StreamReader``."""
        if self._taken == len(self._frame):
            self._frame, self._taken = await self._next(), 0
            self._handed_out_at = monotonic()
        start, self._taken = self._taken, self._taken + n
        return self._frame[start : self._taken]

    async def _next(self) -> bytes:
        """The next frame that is no delivery; among many deliveries a heartbeat, for without any aiormq hangs up."""
        while True:
            head = await self._reader.readexactly(_HEAD.size)
            if head.startswith(b"AMQP"):  # no frame: the broker names the version that it speaks, and hangs up
                return head
            kind, channel, length = _HEAD.unpack(head)
            rest = await self._reader.readexactly(length + 1)
            if not rest.endswith(FRAME_END_CHAR) or not self._is_delivery(kind, channel, rest[:-1]):
                return head + rest
            if monotonic() > self._handed_out_at + _ALIVE_FOR:
                return _SIGN_OF_LIFE

    def _is_delivery(self, kind: int, channel: int, payload: bytes) -> bool:
        """Whether the frame is part of a delivery, which is passed on with its last frame."""
        if kind == FRAME_METHOD and payload.startswith(_DELIVER):
            after_consumer_tag = len(_DELIVER) + 1 + payload[len(_DELIVER)]
            self._begun[channel] = _Begun(*_NUMBER.unpack_from(payload, after_consumer_tag))
            return True
        begun = self._begun.get(channel)
        if begun is None:
            return False
        if kind == FRAME_HEADER:
            begun.header = payload
            (begun.missing,) = _NUMBER.unpack_from(payload, _SIZE_AT)
        elif kind == FRAME_BODY:
            begun.parts.append(payload)
            begun.missing -= len(payload)
        else:  # the channel is closed before the rest came
            del self._begun[channel]
            return False
        if begun.missing <= 0:
            del self._begun[channel]
            if receive := self._receivers.get(channel):
                receive(Content(begun.tag, begun.header, b"".join(begun.parts)))
        return True
