"""Real servers for tests, private to one test run: what there is, is used; what is missing, is installed if we may."""

from __future__ import annotations

from .packages import install_missing
from .postgres import PrivatePostgres, fresh_database, postgres_server
from .rabbitmq import Broker, PrivateBroker
from .sandbox import Sandbox, UnavailableServiceError, free_ports

__all__ = [
    "Broker",
    "PrivateBroker",
    "PrivatePostgres",
    "Sandbox",
    "UnavailableServiceError",
    "free_ports",
    "fresh_database",
    "install_missing",
    "postgres_server",
]
