"""Which transport a setting means. The only place besides entry points that names an adapter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from checking_core.errors import ConfigurationError
from checking_core.settings import BrokerSettings
from checking_core.transport.base import Transport
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology

__all__ = ["broker_definitions", "create_transport", "set_up_broker"]


def create_transport(
    amqp_url: str | None = None, topology: Topology | None = None, *, consume_url: str | None = None
) -> Transport:
    """A transport that is not started yet: in-process unless an AMQP URL is configured.

    Args:
        amqp_url: the broker, with the user who publishes.
        topology: the names.
        consume_url: the same broker with the user who consumes, if that is another.

    Raises:
        ConfigurationError: the adapter that the URL needs is not installed, or the URL cannot be read.
    """
    if not amqp_url:
        return MemoryTransport(topology)
    with _installed():
        from checking_core.transport.rabbitmq import RabbitTransport
    return RabbitTransport(amqp_url, topology, consume_url=consume_url)


async def set_up_broker(amqp_url: str, topology: Topology, lanes: Sequence[str]) -> list[str]:
    """Create what is missing on a broker; see ``rabbitmq_setup.set_up``."""
    with _installed():
        from checking_core.transport.rabbitmq_setup import set_up
    return await set_up(amqp_url, topology, lanes)


def broker_definitions(settings: BrokerSettings, topology: Topology, lanes: Sequence[str]) -> dict[str, Any]:
    """What the administrator of a broker imports; see ``rabbitmq_definitions.definitions``."""
    with _installed():
        from checking_core.transport.rabbitmq_definitions import definitions
    return definitions(settings, topology, lanes)


@contextmanager
def _installed() -> Iterator[None]:
    """The adapter is an extra, and slow to load: it is imported when it is needed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"aiormq", "pamqp", "yarl"}:
            raise
        raise ConfigurationError(
            "a broker is configured, but its adapter is not installed: install checking-core[amqp]"
        ) from error
