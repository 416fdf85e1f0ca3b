"""Which transport a setting means. The only place besides entry points that names an adapter."""

from __future__ import annotations

from checking_core.errors import ConfigurationError
from checking_core.transport.base import Transport
from checking_core.transport.memory import MemoryTransport
from checking_core.transport.topology import Topology

__all__ = ["create_transport"]


def create_transport(amqp_url: str | None = None, topology: Topology | None = None) -> Transport:
    """A transport that is not started yet: in-process unless an AMQP URL is configured.

    Raises:
        ConfigurationError: the adapter that the URL needs is not installed.
    """
    if amqp_url:
        raise ConfigurationError("an AMQP URL is set, but its adapter comes with the extra: checking-core[amqp]")
    return MemoryTransport(topology)
