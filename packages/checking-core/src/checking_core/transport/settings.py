"""Names of the broker's things from the environment: our variables first, then those of the original system."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from checking_core.transport.topology import Topology

__all__ = ["TopologySettings"]

_DEFAULT = Topology()


def _name(field: str, *originals: str) -> Any:
    """A name that is the topology's own unless a variable sets it."""
    return Field(
        default=getattr(_DEFAULT, field), validation_alias=AliasChoices(f"CHECKING_{field.upper()}", *originals)
    )


class TopologySettings(BaseSettings):
    """How the broker's things are called.

    ``prefix`` is put in front of every exchange, queue and routing key, so that several installations share one
    virtual host. ``shared_backends`` are served by workers of the original system: comma-separated backend names.
    """

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
    )

    prefix: str = Field(default="", validation_alias=AliasChoices("CHECKING_TOPOLOGY_PREFIX"))
    shared_backends: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset(), validation_alias=AliasChoices("CHECKING_SHARED_BACKENDS")
    )
    exchange: str = _name("exchange", "RABBITMQ_EXCHANGE")
    dead_exchange: str = _name("dead_exchange")
    dead_queue: str = _name("dead_queue")
    instructions_queue: str = _name("instructions_queue", "RABBITMQ_INSTRUCTIONS_QUEUE")
    api_tasks_queue: str = _name("api_tasks_queue", "RABBITMQ_API_TASKS_QUEUE")
    agent_tasks_queue: str = _name("agent_tasks_queue", "RABBITMQ_AGENT_TASKS_QUEUE")
    api_responses_queue: str = _name("api_responses_queue", "RABBITMQ_API_RESPONSES_QUEUE")
    agent_responses_queue: str = _name("agent_responses_queue", "RABBITMQ_AGENT_RESPONSES_QUEUE")
    execution_result_key: str = _name("execution_result_key", "ROUTING_KEY_EXECUTION_RESULT")
    api_task_key: str = _name("api_task_key", "ROUTING_KEY_API_TASK")
    agent_task_key: str = _name("agent_task_key", "ROUTING_KEY_AGENT_TASK")
    api_response_key: str = _name("api_response_key", "ROUTING_KEY_API_RESPONSE")
    agent_response_key: str = _name("agent_response_key", "ROUTING_KEY_AGENT_RESPONSE")

    @field_validator("shared_backends", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Names, separated by commas."""
        return {part.strip() for part in value.split(",") if part.strip()} if isinstance(value, str) else value

    def topology(self) -> Topology:
        """The topology of these names. Raises ``ConfigurationError`` for one that no broker takes."""
        return Topology(**self.model_dump(exclude={"prefix"})).prefixed(self.prefix)
