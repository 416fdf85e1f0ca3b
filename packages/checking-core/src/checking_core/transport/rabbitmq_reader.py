"""What a connection reads from its socket: the broker's frames, those of message properties sealed."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from pamqp.constants import FRAME_END_CHAR, FRAME_HEADER
from yarl import URL

from checking_core.transport.rabbitmq_wire import sealed

__all__ = ["SealingFactory"]

_HEAD = struct.Struct(">BHI")  # type, channel, length of what follows before the end mark


class SealingFactory(TransportFactory):
    """Opens the socket for a connection that consumes; it publishes nothing, for returns need their properties."""

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """See ``TransportFactory``."""
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await factory.create(url, **kwargs)
        return _SealingReader(reader), writer


class _SealingReader(asyncio.StreamReader):
    """Hands out one frame after the other, in the pieces that are asked for; a piece never spans two frames."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._reader = reader
        self._frame = b""
        self._taken = 0

    def at_eof(self) -> bool:
        """See ``StreamReader``."""
        return self._taken == len(self._frame) and self._reader.at_eof()

    async def readexactly(self, n: int) -> bytes:
        """See ``StreamReader``."""
        if self._taken == len(self._frame):
            self._frame, self._taken = await self._next(), 0
        start, self._taken = self._taken, self._taken + n
        return self._frame[start : self._taken]

    async def _next(self) -> bytes:
        head = await self._reader.readexactly(_HEAD.size)
        if head.startswith(b"AMQP"):  # no frame: the broker names the version that it speaks, and hangs up
            return head
        kind, channel, length = _HEAD.unpack(head)
        rest = await self._reader.readexactly(length + 1)
        if kind != FRAME_HEADER:
            return head + rest
        payload = sealed(rest[:-1])
        return _HEAD.pack(kind, channel, len(payload)) + payload + FRAME_END_CHAR
