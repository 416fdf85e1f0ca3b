"""The topology on the broker: declared where we may, looked for where we may not."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from checking_core.errors import ConfigurationError
from checking_core.transport.rabbitmq_link import Channel, Connection, open_channel
from checking_core.transport.topology import Topology

__all__ = ["QueueDeclaration", "declare_queue", "declare_topology", "exchanges", "queue_declaration"]

_NO_LIMIT = 1_000_000  # RabbitMQ 4 takes 20 for a queue that names no limit, and 3 does not know -1
_DIFFERENCE = re.compile(r"inequivalent arg '(?P<name>[^']+)' .*?: received (?P<ours>.+) but current is (?P<theirs>.+)")
_TYPED = re.compile(r"the value ('[^']*') of type '\w+'")

_Declare: TypeAlias = Callable[[Channel, bool], Awaitable[object]]


class QueueDeclaration(NamedTuple):
    """A durable queue, its arguments, and the binding that fills it."""

    queue: str
    arguments: dict[str, Any]
    exchange: str
    key: str


def exchanges(topology: Topology) -> dict[str, str]:
    """Every exchange and its type; all are durable."""
    return {topology.exchange: "topic", topology.dead_exchange: "fanout"}


def queue_declaration(topology: Topology, queue: str) -> QueueDeclaration:
    """How a queue of the topology, a lane's included, is declared.

    Raises:
        ConfigurationError: the topology has no such queue.
    """
    if queue == topology.dead_queue:
        arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": _NO_LIMIT}
        return QueueDeclaration(queue, arguments, topology.dead_exchange, "")
    key = topology.key_of(queue)
    if key is None:
        raise ConfigurationError(f"the topology has no queue {queue}")
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": topology.delivery_limit(queue),
        "x-dead-letter-exchange": topology.dead_exchange,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return QueueDeclaration(queue, arguments, topology.exchange, key)


async def declare_topology(connection: Connection, topology: Topology, *, user: str) -> None:
    """Declare everything that set-up declares: exchanges, queues, bindings. May be repeated.

    Args:
        connection: the broker.
        topology: the names.
        user: who we are there, for the error.

    Raises:
        ConfigurationError: something is missing and the user may not create it, or it is of another kind.
    """
    declarer = _Declarer(connection, user)
    for name, kind in exchanges(topology).items():
        await declarer.exchange(name, kind)
    for queue in (topology.dead_queue, *(binding.queue for binding in topology.bindings())):
        await declarer.queue(queue_declaration(topology, queue))
    await declarer.close()


async def declare_queue(connection: Connection, declaration: QueueDeclaration, *, user: str) -> None:
    """Declare one queue and its binding. Raises as ``declare_topology`` does."""
    declarer = _Declarer(connection, user)
    await declarer.queue(declaration)
    await declarer.close()


class _Declarer:
    """Declares on a channel of its own, for the broker closes the channel with every refusal."""

    def __init__(self, connection: Connection, user: str) -> None:
        self._connection = connection
        self._user = user
        self._channel: Channel | None = None

    async def exchange(self, name: str, kind: str) -> None:
        await self._declare(
            f"exchange {name}",
            lambda channel, passive: channel.exchange_declare(name, exchange_type=kind, durable=True, passive=passive),
        )

    async def queue(self, declaration: QueueDeclaration) -> None:
        queue, arguments, exchange, key = declaration
        await self._declare(
            f"queue {queue}",
            lambda channel, passive: channel.queue_declare(queue, durable=True, passive=passive, arguments=arguments),
        )
        try:
            await (await self._open()).queue_bind(queue, exchange, key)
        except ChannelAccessRefused:
            return  # whoever created the queue has bound it; if not, a publish says that its key is unroutable

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _declare(self, what: str, declare: _Declare) -> None:
        try:
            await declare(await self._open(), False)
        except ChannelAccessRefused:
            await self._look_for(what, declare)
        except ChannelPreconditionFailed as error:
            raise ConfigurationError(_mismatch(what, str(error))) from error

    async def _look_for(self, what: str, declare: _Declare) -> None:
        try:
            await declare(await self._open(), True)
        except ChannelNotFoundEntity as error:
            raise ConfigurationError(
                f"the broker has no {what}, and user {self._user} may not create it: "
                "run 'checking broker setup' as the admin user"
            ) from error

    async def _open(self) -> Channel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await open_channel(self._connection)
        return self._channel


def _mismatch(what: str, reply: str) -> str:
    found = _DIFFERENCE.search(_TYPED.sub(r"\1", reply))
    difference = f"with {found['name']} {found['theirs']} where {found['ours']} is needed" if found else "differently"
    return (
        f"the broker has {what} already, declared {difference}: "
        "let it run empty and delete it, or set CHECKING_TOPOLOGY_PREFIX for names of your own"
    )
