"""Where the broker is, and who we are there: each process uses only the user of its own role."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from checking_core.errors import ConfigurationError
from checking_core.settings.environment import ENVIRONMENT

__all__ = ["BrokerRole", "BrokerSettings"]


class BrokerRole(StrEnum):
    """What a connection is for. Each has a user of the broker with no more rights than that."""

    ADMIN = "admin"
    PUBLISHER = "publisher"
    CONSUMER = "consumer"
    DISPATCHER = "dispatcher"
    WORKER = "worker"
    RESULT_CONSUMER = "result_consumer"
    MONITOR = "monitor"


def _user(role: str, default: str, purpose: str) -> Any:
    alias = f"RABBITMQ_{role.upper()}_USER"
    return Field(default=default, validation_alias=AliasChoices(alias), description=f"User that {purpose}")


def _password(role: str) -> Any:
    alias = f"RABBITMQ_{role.upper()}_PASS"
    return Field(default=None, validation_alias=AliasChoices(alias), description="Its password")


class BrokerSettings(BaseSettings):
    """Where the broker is: one URL, or the family of variables of the original system. Nothing set: in-process."""

    model_config = ENVIRONMENT

    url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("CHECKING_AMQP_URL"),
        description="The broker, its virtual host and, for all roles that have none of their own, the user",
    )
    host: str | None = Field(
        default=None, validation_alias=AliasChoices("RABBITMQ_HOST"), description="The broker, where no URL is set"
    )
    port: int = Field(
        default=5672, ge=1, le=65535, validation_alias=AliasChoices("RABBITMQ_PORT"), description="Its port"
    )
    vhost: str = Field(
        default="/caldera_checking",
        validation_alias=AliasChoices("RABBITMQ_VHOST"),
        description="Its virtual host",
    )
    admin_user: str = _user("admin", "caldera_admin", "sets up exchanges and queues")
    admin_pass: SecretStr | None = _password("admin")
    publisher_user: str = _user("publisher", "caldera_publisher", "sends what the red team did")
    publisher_pass: SecretStr | None = _password("publisher")
    consumer_user: str = _user("consumer", "checking_consumer", "reads what the red team did")
    consumer_pass: SecretStr | None = _password("consumer")
    dispatcher_user: str = _user("dispatcher", "checking_dispatcher", "sends tasks")
    dispatcher_pass: SecretStr | None = _password("dispatcher")
    worker_user: str = _user("worker", "checking_worker", "reads tasks and sends results")
    worker_pass: SecretStr | None = _password("worker")
    result_consumer_user: str = _user("result_consumer", "checking_result_consumer", "reads results")
    result_consumer_pass: SecretStr | None = _password("result_consumer")
    monitor_user: str = _user("monitor", "monitor_user", "looks at queues")
    monitor_pass: SecretStr | None = _password("monitor")

    @field_validator("url")
    @classmethod
    def _amqp(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"amqps?://[^/\s]", url.get_secret_value()):
            raise ValueError("write amqp://user:password@host:5672/%2Fcaldera_checking, or amqps:// for TLS")
        return url

    @field_validator("port", mode="before")
    @classmethod
    def _service_link(cls, value: object) -> object:
        """Kubernetes sets ``RABBITMQ_PORT=tcp://10.0.0.1:5672`` for a service of that name."""
        return value.rpartition(":")[2] if isinstance(value, str) and value.startswith("tcp://") else value

    @property
    def configured(self) -> bool:
        """Whether there is a broker at all."""
        return self.url is not None or self.host is not None

    @property
    def virtual_host(self) -> str:
        """Where on the broker everything is: of the URL, or of the family. A URL without one means ``/``."""
        if self.url is None:
            return self.vhost
        return unquote(urlsplit(self.url.get_secret_value()).path[1:]) or "/"

    def credentials(self, role: BrokerRole) -> tuple[str, SecretStr | None]:
        """The user of a role, and its password if it has one of its own."""
        return getattr(self, f"{role}_user"), getattr(self, f"{role}_pass")

    def url_for(self, role: BrokerRole | None = None) -> str | None:
        """The URL, with password, that a role connects with; ``None`` when no broker is configured.

        Args:
            role: without one the URL as it is configured, or the admin of the family: one user for everything.

        Raises:
            ConfigurationError: the role has no password.
        """
        if self.url is not None:
            url = self.url.get_secret_value()
            user, password = self.credentials(role) if role else ("", None)
            return url if password is None else _with_user(url, user, password)
        if self.host is None:
            return None
        role = role or BrokerRole.ADMIN
        user, password = self.credentials(role)
        if password is None:
            raise ConfigurationError(
                f"RABBITMQ_{role.upper()}_PASS: is not set; set it, or CHECKING_AMQP_URL for one user for everything"
            )
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain = f"amqp://{host}:{self.port}/{quote(self.vhost, safe='')}"
        return _with_user(plain, user, password)


def _with_user(url: str, user: str, password: SecretStr) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    secret = quote(password.get_secret_value(), safe="")
    return parts._replace(netloc=f"{quote(user, safe='')}:{secret}@{place}").geturl()
