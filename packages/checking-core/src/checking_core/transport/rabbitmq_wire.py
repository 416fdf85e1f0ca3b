"""Messages as the broker's protocol has them, in both directions. What comes in is hostile and never raises."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import pamqp.frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from checking_core.transport.base import Message, Outgoing
from checking_core.transport.topology import HEADER_FIRST_QUEUE, HEADER_REASON

__all__ = ["Content", "Received", "Writer", "id_of", "received"]

_PERSISTENT = 2
_LONGEST_READ = 16 * 1024  # real properties have a few hundred bytes; reading a table costs the square of its length

_BROKERS_OWN = ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-")
_UNREADABLE = (ValueError, ArithmeticError, OSError, RecursionError, struct.error)


class Content(NamedTuple):
    """A delivery: its tag, its content header as it came, and its body."""

    tag: int
    header: bytes
    body: bytes


class Received(NamedTuple):
    """A message, and how often it was delivered before."""

    message: Message
    tries: int


class Writer:
    """Writes messages for one channel and one moment.

    Args:
        channel: number of the channel.
        exchange: where they are published.
        longest: how many bytes of payload fit into a frame.
        at: the time that they carry.
    """

    def __init__(self, channel: int, exchange: str, longest: int, at: datetime) -> None:
        self._channel = channel
        self._exchange = exchange
        self._longest = longest
        self._at = at
        self._methods: dict[str, bytes] = {}

    def write(self, item: Outgoing, message_id: str) -> bytes:
        """The frames of one publish.

        Raises:
            ValueError, TypeError: the routing key, id or headers are longer than the protocol allows.
        """
        body = item.message.body
        header = pamqp.frame.marshal(self._header(item.message, message_id), self._channel)
        if len(header) > self._longest:
            raise ValueError(f"its headers take more than {self._longest} bytes")
        parts = (body[start : start + self._longest] for start in range(0, len(body), self._longest))
        bodies = [pamqp.frame.marshal(ContentBody(part), self._channel) for part in parts]
        return b"".join((self._method(item.routing_key), header, *bodies))

    def _header(self, message: Message, message_id: str) -> ContentHeader:
        properties = Basic.Properties(
            content_type="application/json",
            headers=dict(message.headers),
            delivery_mode=_PERSISTENT,
            message_id=message_id,
            timestamp=self._at,
        )
        return ContentHeader(body_size=len(message.body), properties=properties)

    def _method(self, key: str) -> bytes:
        if key not in self._methods:
            publish = Basic.Publish(exchange=self._exchange, routing_key=key, mandatory=True)
            self._methods[key] = pamqp.frame.marshal(publish, self._channel)
        return self._methods[key]


def id_of(message: Message) -> str:
    """Its id, or a new one: a message without an id could not be told from another when the broker returns it."""
    return message.message_id or str(uuid4())


def received(content: Content, *, dead: bool) -> Received:
    """What was delivered. Properties that cannot be read are as good as absent: the body speaks for itself.

    Args:
        content: as it was delivered.
        dead: taken from the dead letters; those that the broker made get our headers for reason and first queue.
    """
    properties = _properties(content.header)
    headers = properties.headers or {}
    texts = dict(_texts(headers))
    if dead:
        texts.update(_obituary(headers))
    message = Message(body=content.body, message_id=properties.message_id or "", headers=texts)
    count = headers.get("x-delivery-count")
    return Received(message, count if type(count) is int and count > 0 else 0)


def _properties(payload: bytes) -> Basic.Properties:
    header = ContentHeader()
    if len(payload) <= _LONGEST_READ:
        try:
            header.unmarshal(payload)
        except _UNREADABLE:
            return Basic.Properties()
    return header.properties


def _texts(headers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Headers that are text or numbers; nested ones, and the broker's own, are none of a message's."""
    for name, value in headers.items():
        if isinstance(value, str | int | float) and not name.startswith(_BROKERS_OWN):
            yield name, str(value)


def _obituary(headers: Mapping[str, Any]) -> dict[str, str]:
    """What the broker says of a dead letter that it made itself, in the headers of one that we make."""
    match headers.get("x-death"):
        case [{"reason": str(reason), "queue": str(queue)}, *_]:
            return {HEADER_REASON: reason, HEADER_FIRST_QUEUE: queue}
    return {}
