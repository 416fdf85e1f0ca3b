"""Publishing with confirms: a wave of messages leaves in one write, and each of them gets its own answer."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeAlias

from aiormq.abc import ChannelFrame
from aiormq.exceptions import AMQPChannelError, DeliveryError
from aiormq.exceptions import PublishError as ReturnedError

from checking_core.errors import BrokerUnavailableError, ConfigurationError, PublishError, UnroutableError
from checking_core.transport.base import Outgoing
from checking_core.transport.rabbitmq_link import Channel, Link
from checking_core.transport.rabbitmq_wire import Writer, id_of

__all__ = ["Publisher"]

_MESSAGES_IN_FLIGHT = 500
_BYTES_IN_FLIGHT = 4 * 1024 * 1024

_Answer: TypeAlias = "Future[Any] | PublishError"


class Publisher:
    """Publishes over one link. Calls at the same time have a channel each, so that no answer is mixed up.

    Args:
        link: where to.
        timeout: seconds until a message that the broker has not confirmed counts as not published.
    """

    def __init__(self, link: Link, *, timeout: float) -> None:
        self._link = link
        self._timeout = timeout
        self._idle: list[Channel] = []

    async def publish(self, exchange: str, items: Sequence[Outgoing]) -> list[PublishError | None]:
        """See ``Transport.publish``. What cannot be sent at all is not tried for the rest either."""
        outcomes: list[PublishError | None] = []
        for wave in _waves(items):
            try:
                outcomes += await self._publish(exchange, wave)
            except PublishError as error:
                return outcomes + [error] * (len(items) - len(outcomes))
        return outcomes

    async def _publish(self, exchange: str, wave: Sequence[Outgoing]) -> list[PublishError | None]:
        channel = await self._open()
        frame, answers = _written(channel, exchange, wave)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeout):
                    await channel.write_queue.put(frame)
                    if expected := [answer for answer in answers if isinstance(answer, Future)]:
                        await asyncio.wait(expected)
        finally:
            self._recycle(channel, answers)
        return [self._outcome(item, answer) for item, answer in zip(wave, answers, strict=True)]

    async def _open(self) -> Channel:
        """A channel of a broker that takes messages at the moment. Raises ``PublishError``."""
        try:
            async with asyncio.timeout(self._timeout):
                connection = await self._link.connection()
                await connection.ready()
                while self._idle:
                    channel = self._idle.pop()
                    if channel.connection is connection and not channel.is_closed:
                        return channel
                return await self._link.channel(confirms=True)
        except TimeoutError as error:
            raise PublishError(
                f"the broker at {self._link.place} takes no messages: it is short of memory or disk, or does not answer"
            ) from error
        except (BrokerUnavailableError, ConfigurationError) as error:
            raise PublishError(str(error)) from error

    def _recycle(self, channel: Channel, answers: Sequence[_Answer]) -> None:
        """Keep the channel for the next wave, unless an answer may still come: it would meet the wrong message."""
        late = any(isinstance(answer, Future) and not answer.done() for answer in answers)
        if late or channel.is_closed:
            self._link.discard(channel)
        else:
            channel.message_id_delivery_tag.clear()
            self._idle.append(channel)

    def _outcome(self, item: Outgoing, answer: _Answer) -> PublishError | None:
        if isinstance(answer, PublishError):
            return answer
        if not answer.done():
            return PublishError(f"the broker did not confirm the message within {self._timeout:g} s")
        error = answer.exception()
        return None if error is None else _refusal(item.routing_key, error)


def _refusal(key: str, error: BaseException) -> PublishError:
    match error:
        case ReturnedError():
            return UnroutableError(f"no queue takes the routing key {key}")
        case DeliveryError():
            return PublishError(f"the queue of {key} takes no more: it is full, or has no leader")
        case AMQPChannelError():
            return PublishError(f"the broker refused the message: {error}")
    return PublishError("the connection was lost before the broker confirmed the message")


def _waves(items: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """Messages that may be in flight together: aiormq tells a returned one by its id, so never two of one id."""
    wave: list[Outgoing] = []
    ids: set[str] = set()
    size = 0
    for item in items:
        size += len(item.message.body)
        if wave and (len(wave) == _MESSAGES_IN_FLIGHT or size > _BYTES_IN_FLIGHT or item.message.message_id in ids):
            yield wave
            wave, ids, size = [], set(), len(item.message.body)
        wave.append(item)
        if item.message.message_id:
            ids.add(item.message.message_id)
    if wave:
        yield wave


def _written(channel: Channel, exchange: str, wave: Sequence[Outgoing]) -> tuple[ChannelFrame, list[_Answer]]:
    """All messages in one piece; for each a future of the broker's answer, or why it is not in there.

    ``basic_publish`` costs a task, a lock and a system call for every message: three times as much as this.
    """
    writer = Writer(channel.number, exchange, channel.max_content_size, datetime.now(UTC))
    payloads: list[bytes] = []
    answers: list[_Answer] = []
    for item in wave:
        message_id = id_of(item.message)
        try:
            payloads.append(writer.write(item, message_id))
        except (TypeError, ValueError) as error:
            answers.append(PublishError(f"the message cannot be written: {error}"))
            continue
        channel.delivery_tag += 1
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        answer = channel.create_future()
        channel.confirmations[channel.delivery_tag] = answer
        answers.append(answer)
    return ChannelFrame(payload=b"".join(payloads), should_close=False), answers
