"""The topology and its users as a definitions file, the form in which RabbitMQ imports such things. Pure."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from checking_core.errors import ConfigurationError
from checking_core.settings import BrokerRole, BrokerSettings
from checking_core.transport.permissions import Permissions, any_of, permissions_of
from checking_core.transport.rabbitmq_topology import QueueDeclaration, exchanges, queue_declaration
from checking_core.transport.topology import Topology

__all__ = ["definitions", "password_hash"]

_POLICY = {"queue-leader-locator": "balanced"}
"""What an operator may want to change later; whatever the engine rests on is an argument of its queue instead."""


class _User(NamedTuple):
    name: str
    password: str
    permissions: Permissions


def definitions(settings: BrokerSettings, topology: Topology, lanes: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Virtual host, exchanges, queues, bindings, a policy, and the users with their permissions.

    A user whose password is not set is left out.

    Args:
        settings: virtual host, users and passwords.
        topology: the names.
        lanes: queues beside those that every installation has.

    Raises:
        ConfigurationError: two roles share a user, or the topology has no such queue.
    """
    vhost, users = settings.virtual_host, _users(settings, topology)
    names = dict.fromkeys((topology.dead_queue, *(binding.queue for binding in topology.bindings()), *lanes))
    queues = [queue_declaration(topology, name) for name in names]
    return {
        "users": [_user(user) for user in users],
        "vhosts": [{"name": vhost}],
        "permissions": [_permission(user, vhost) for user in users],
        "topic_permissions": [
            _topic_permission(user, topology, vhost) for user in users if user.permissions.publish is not None
        ],
        "policies": [_policy(topology, vhost)],
        "exchanges": [_exchange(name, kind, vhost) for name, kind in exchanges(topology).items()],
        "queues": [_queue(queue, vhost) for queue in queues],
        "bindings": [_binding(queue, vhost) for queue in queues],
    }


def password_hash(password: str, salt: bytes | None = None) -> str:
    """A password as the broker stores it (SHA-256); the salt is random unless one of four bytes is given."""
    salt = os.urandom(4) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _users(settings: BrokerSettings, topology: Topology) -> list[_User]:
    users = [
        _User(name, password.get_secret_value(), permissions_of(role, topology))
        for role in BrokerRole
        for name, password in [settings.credentials(role)]
        if password is not None
    ]
    if len({user.name for user in users}) < len(users):
        raise ConfigurationError("two roles have the same user of the broker, which has one set of rights; use seven")
    return users


def _user(user: _User) -> dict[str, Any]:
    return {
        "name": user.name,
        "password_hash": password_hash(user.password),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(user.permissions.tags),
    }


def _permission(user: _User, vhost: str) -> dict[str, Any]:
    granted = user.permissions
    rights = {"configure": granted.configure, "write": granted.write, "read": granted.read}
    return {"user": user.name, "vhost": vhost, **rights}


def _topic_permission(user: _User, topology: Topology, vhost: str) -> dict[str, Any]:
    keys = {"write": user.permissions.publish, "read": user.permissions.bind}
    return {"user": user.name, "vhost": vhost, "exchange": topology.exchange, **keys}


def _policy(topology: Topology, vhost: str) -> dict[str, Any]:
    queues = [topology.dead_queue, *(binding.queue for binding in topology.bindings())]
    return {
        "vhost": vhost,
        "name": topology.exchange,
        "pattern": any_of(*queues, lanes_of=(topology.api_tasks_queue, topology.agent_tasks_queue)),
        "apply-to": "queues",
        "definition": _POLICY,
        "priority": 0,
    }


def _exchange(name: str, kind: str, vhost: str) -> dict[str, Any]:
    kept = {"durable": True, "auto_delete": False, "internal": False}
    return {"name": name, "vhost": vhost, "type": kind, **kept, "arguments": {}}


def _queue(queue: QueueDeclaration, vhost: str) -> dict[str, Any]:
    return {
        "name": queue.queue,
        "vhost": vhost,
        "durable": True,
        "auto_delete": False,
        "arguments": queue.arguments,
    }


def _binding(queue: QueueDeclaration, vhost: str) -> dict[str, Any]:
    between = {"source": queue.exchange, "destination": queue.queue, "destination_type": "queue"}
    return {"vhost": vhost, **between, "routing_key": queue.key, "arguments": {}}
