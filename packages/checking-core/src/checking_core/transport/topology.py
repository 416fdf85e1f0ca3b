"""Every name of the broker in one place: exchange, queues, routing keys, dead letters, headers.

The names are a contract with deployments that exist already: see docs/explanation/architecture.md. One prefix moves
all of them, each can be set alone (``TopologySettings``).
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import msgspec

from checking_core.errors import ConfigurationError

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
    "Topology",
]

DEFAULT_VHOST = "/caldera_checking"

HEADER_REASON = "x-reason"
"""Why a message is in the dead letters."""
HEADER_FIRST_QUEUE = "x-first-queue"
"""Where a dead letter came from."""
HEADER_REPLAY_OF = "x-replay-of"
"""Which dead letter a message was before it was sent again."""
HEADER_REQUEST_ID = "x-request-id"
HEADER_TRACEPARENT = "traceparent"

DELIVERY_LIMIT = "delivery_limit"
"""Reason of a dead letter that no consumer survived."""

AGENT_TYPES = frozenset({"windows", "linux", "darwin"})
"""Detection types that an agent on a host answers; every other type is asked of a backend."""

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,180}")  # no wildcard of a topic exchange; room for a lane within AMQP's 255
_BACKEND = re.compile(r"[a-z0-9_-]{1,40}")
_HOST = re.compile(r"[a-z0-9._-]{1,63}")
_ILLEGAL = re.compile(r"[^a-z0-9_-]+")


class Binding(NamedTuple):
    """A queue and the routing key that fills it."""

    queue: str
    key: str


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """The names as the broker sees them.

    Tasks travel in lanes: one queue and key for each backend and for each agent host, made by whoever serves it. The
    backends in ``shared_backends`` have no lane and use the one queue that workers of the original system read.

    Raises:
        ConfigurationError: a name is not usable, or two queues or two keys are the same.
    """

    exchange: str = "caldera.checking.exchange"
    dead_exchange: str = "caldera.checking.dead"
    dead_queue: str = "caldera.checking.dead"
    instructions_queue: str = "caldera.checking.instructions"
    api_tasks_queue: str = "caldera.checking.api.tasks"
    agent_tasks_queue: str = "caldera.checking.agent.tasks"
    api_responses_queue: str = "caldera.checking.api.responses"
    agent_responses_queue: str = "caldera.checking.agent.responses"
    execution_result_key: str = "caldera.execution.result"
    api_task_key: str = "checking.api.task"
    agent_task_key: str = "checking.agent.task"
    api_response_key: str = "checking.api.response"
    agent_response_key: str = "checking.agent.response"
    shared_backends: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for kind in ("exchange", "queue", "key"):
            names = self._names(kind)
            if wrong := [field for field, name in names.items() if not _NAME.fullmatch(name)]:
                raise ConfigurationError(f"{wrong[0]} is {names[wrong[0]]!r}: use 1 to 180 of letters, digits, . _ : -")
            if len(set(names.values())) < len(names):
                raise ConfigurationError(f"two of {', '.join(names)} have the same name")

    def prefixed(self, prefix: str) -> Topology:
        """The same topology with a text in front of every exchange, queue and routing key."""
        names = {**self._names("exchange"), **self._names("queue"), **self._names("key")}
        return msgspec.structs.replace(self, **{field: prefix + name for field, name in names.items()})

    def task_queue(self, detection_type: str, backend: str, host: str | None = None) -> str:
        """Where a task waits. ``host`` counts for agent types only; without one any agent may take the task."""
        queue = self.agent_tasks_queue if detection_type in AGENT_TYPES else self.api_tasks_queue
        return queue + self._lane(detection_type, backend, host)

    def task_key(self, detection_type: str, backend: str, host: str | None = None) -> str:
        """The routing key that leads to ``task_queue`` of the same arguments."""
        key = self.agent_task_key if detection_type in AGENT_TYPES else self.api_task_key
        return key + self._lane(detection_type, backend, host)

    def response_key(self, detection_type: str) -> str:
        """The routing key of a result."""
        return self.agent_response_key if detection_type in AGENT_TYPES else self.api_response_key

    def response_queue(self, detection_type: str) -> str:
        """Where a result waits."""
        return self.agent_responses_queue if detection_type in AGENT_TYPES else self.api_responses_queue

    def bindings(self) -> tuple[Binding, ...]:
        """What set-up declares. Lanes are not among them: a task that nobody ever served is unroutable."""
        return (
            Binding(self.instructions_queue, self.execution_result_key),
            Binding(self.api_tasks_queue, self.api_task_key),
            Binding(self.agent_tasks_queue, self.agent_task_key),
            Binding(self.api_responses_queue, self.api_response_key),
            Binding(self.agent_responses_queue, self.agent_response_key),
        )

    def key_of(self, queue: str) -> str | None:
        """The routing key that fills a queue: of set-up's and of lanes. ``None``: no queue of this topology."""
        for bound, key in self.bindings():
            if queue == bound:
                return key
        for tasks, key, legal in (
            (self.api_tasks_queue, self.api_task_key, _BACKEND),
            (self.agent_tasks_queue, self.agent_task_key, _HOST),
        ):
            lane = queue.removeprefix(f"{tasks}.")
            if lane != queue and legal.fullmatch(lane):
                return f"{key}.{lane}"
        return None

    def delivery_limit(self, queue: str) -> int | None:
        """How often a message is delivered again before it is dead; dead letters themselves have no limit."""
        if queue == self.dead_queue:
            return None
        tasks = (self.api_tasks_queue, self.agent_tasks_queue)
        return 3 if queue in tasks or queue.startswith(tuple(f"{name}." for name in tasks)) else 20

    def _lane(self, detection_type: str, backend: str, host: str | None) -> str:
        if detection_type in AGENT_TYPES:
            return "" if host is None else f".{_legal(host.lower(), _HOST, 63)}"
        return "" if backend in self.shared_backends else f".{_legal(backend, _BACKEND, 40)}"

    def _names(self, kind: str) -> dict[str, str]:
        return {field: getattr(self, field) for field in self.__struct_fields__ if field.endswith(kind)}


def _legal(text: str, legal: re.Pattern[str], longest: int) -> str:
    """The text itself, or what is legal of it and a digest: two hosts must never share a lane."""
    if legal.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{_ILLEGAL.sub('-', text.lower())[: longest - 13]}-{digest}"
