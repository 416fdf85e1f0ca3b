"""What the API answers: a struct for each kind of row, and for health. Fields are named as the columns are."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from checking_core.plugin.host import PluginState
from checking_server.api.listing import Listing

__all__ = [
    "BrokerHealth",
    "Health",
    "Liveness",
    "Operation",
    "Operations",
    "PartHealth",
    "PluginHealth",
    "PluginsHealth",
    "QueueHealth",
    "Readiness",
    "State",
    "StoreHealth",
]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One adversary-emulation run.

    ``id`` is this store's key, ``operation_id`` the red-team tool's own; where that is no UUID, one is derived from
    it and ``source_id`` keeps the text.
    """

    id: UUID
    operation_id: UUID
    source: str
    source_id: str | None
    name: str
    operation_start: datetime | None
    state: str | None
    attack_version: str | None
    metadata: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime


class Operations(Listing, frozen=True, kw_only=True):
    """A page of operations."""

    items: list[Operation]


class State(StrEnum):
    """How something is: it works, it works in part, it does not work."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How one part is, how long it took to find out, and what is wrong if anything is."""

    status: State
    latency_ms: float
    problem: str | None = None


class StoreHealth(PartHealth, frozen=True, kw_only=True):
    """The database. ``revision`` is its schema's, ``needs`` the one of this release."""

    revision: str | None
    needs: str


class QueueHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: messages that wait in it, and consumers."""

    name: str
    waiting: int
    consumers: int


class BrokerHealth(PartHealth, frozen=True, kw_only=True):
    """What carries the messages."""

    queues: list[QueueHealth]


class PluginHealth(msgspec.Struct, frozen=True, kw_only=True):
    """An installed detector plugin, the platforms it serves, and why it serves none if it is broken."""

    name: str
    distribution: str
    version: str
    state: PluginState
    detectors: tuple[str, ...]
    problem: str


class PluginsHealth(PartHealth, frozen=True, kw_only=True):
    """The installed plugins; a broken one degrades, for the others work."""

    plugins: list[PluginHealth]


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers; of its parts this says nothing."""

    status: State


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether requests and messages can be handled now."""

    status: State
    db: StoreHealth
    broker: BrokerHealth


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the server is: the worst of its parts."""

    status: State
    version: str
    db: StoreHealth
    broker: BrokerHealth
    plugins: PluginsHealth
