"""Asks the parts of a running server how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
import structlog

from checking_core.errors import ConfigurationError, SchemaOutdatedError, UnavailableError
from checking_core.plugin.host import PluginInfo, PluginState
from checking_core.storage import Store, migrate
from checking_core.transport.base import QueueState
from checking_server.api.problems import outage
from checking_server.api.schemas import (
    BrokerHealth,
    PluginHealth,
    PluginsHealth,
    QueueHealth,
    State,
    StoreHealth,
)

__all__ = ["AskQueue", "Checkup"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

AskQueue: TypeAlias = Callable[[str], Awaitable[QueueState]]
"""How a queue stands: ``Transport.state``, or something like it."""


class Checkup:
    """Every question is asked anew: a part that comes back is up again at once.

    Args:
        store: rows.
        queues: whose length is told, and whom to ask.
        rests_on_broker: whether the process can do nothing while the broker is away.
        plugins: every installed one.
        patience: seconds that a part has to answer; whoever asks for readiness does not wait for long either.
    """

    def __init__(
        self,
        store: Store,
        queues: Mapping[str, AskQueue],
        *,
        rests_on_broker: bool = True,
        plugins: Sequence[PluginInfo],
        patience: float = 1.5,
    ) -> None:
        self._store = store
        self._queues = dict(queues)
        self._rests_on_broker = rests_on_broker
        self._plugins = tuple(plugins)
        self._patience = patience
        self._needs = migrate.head()

    async def db(self) -> StoreHealth:
        """Whether the database answers and its schema is the one of this release."""
        asked = await self._ask("db", self._revision())
        problem = asked.problem
        if problem is None and asked.answer != self._needs:
            problem = outage(SchemaOutdatedError())
        return StoreHealth(
            status=State.DOWN if problem else State.UP,
            latency_ms=asked.latency_ms,
            problem=problem,
            revision=asked.answer,
            needs=self._needs,
        )

    async def db_answers(self) -> bool:
        """Whether the database answers, and no more than that."""
        return (await self._ask("db", self._store.ping())).problem is None

    async def broker(self) -> BrokerHealth:
        """Whether the transport answers, and how its queues stand."""
        asked = await self._ask("broker", self._queue_states())
        away = State.DOWN if self._rests_on_broker else State.DEGRADED
        return BrokerHealth(
            status=away if asked.problem else State.UP,
            latency_ms=asked.latency_ms,
            problem=asked.problem,
            queues=asked.answer or [],
        )

    def plugins(self) -> PluginsHealth:
        """Which plugins were loaded. Their backends are not asked: a page that is polled must not search in a SIEM."""
        began = perf_counter()
        broken = [plugin.name for plugin in self._plugins if plugin.state is PluginState.BROKEN]
        return PluginsHealth(
            status=State.DEGRADED if broken else State.UP,
            plugins=[msgspec.convert(plugin, PluginHealth, from_attributes=True) for plugin in self._plugins],
            problem=f"broken: {', '.join(broken)}" if broken else None,
            latency_ms=_since(began),
        )

    async def _ask(self, part: str, question: Awaitable[T]) -> _Asked[T]:
        began = perf_counter()
        try:
            async with asyncio.timeout(self._patience):
                return _Asked(await question, _since(began), None)
        except UnavailableError as error:
            log.warning("part_away", part=part, problem=str(error))
            return _Asked(None, _since(began), outage(error))
        except ConfigurationError as error:
            log.warning("part_refuses", part=part, problem=str(error))
            return _Asked(None, _since(began), "it refuses this process; the log tells why")
        except TimeoutError:
            log.warning("part_silent", part=part, seconds=self._patience)
            return _Asked(None, _since(began), f"no answer within {self._patience:g} s")

    async def _revision(self) -> str | None:
        async with self._store.glance() as uow:
            return await migrate.revision(uow.connection)

    async def _queue_states(self) -> list[QueueHealth]:
        states = [await ask(queue) for queue, ask in self._queues.items()]
        return [
            QueueHealth(name=name, waiting=state.waiting, consumers=state.consumers)
            for name, state in zip(self._queues, states, strict=True)
        ]


class _Asked(NamedTuple, Generic[T]):
    answer: T | None
    latency_ms: float
    problem: str | None


def _since(began: float) -> float:
    return round((perf_counter() - began) * 1000, 1)
