"""How messages travel: the Protocols that the flow speaks, and the names on the broker."""

from checking_core.transport.base import Delivery, Message, Outgoing, QueueState, Subscription, Transport
from checking_core.transport.topology import (
    AGENT_TYPES,
    DEFAULT_VHOST,
    DELIVERY_LIMIT,
    HEADER_FIRST_QUEUE,
    HEADER_REASON,
    HEADER_REPLAY_OF,
    HEADER_REQUEST_ID,
    HEADER_TRACEPARENT,
    Binding,
    Topology,
)

__all__ = [
    "AGENT_TYPES",
    "DEFAULT_VHOST",
    "DELIVERY_LIMIT",
    "HEADER_FIRST_QUEUE",
    "HEADER_REASON",
    "HEADER_REPLAY_OF",
    "HEADER_REQUEST_ID",
    "HEADER_TRACEPARENT",
    "Binding",
    "Delivery",
    "Message",
    "Outgoing",
    "QueueState",
    "Subscription",
    "Topology",
    "Transport",
]
