"""What the API answers: a struct for each kind of row, and for health. Fields are named as the columns are."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec

from checking_core.contracts import (
    Answer,
    CheckStatus,
    Clock,
    Expect,
    LinkState,
    MatchTier,
    Met,
    Outcome,
    Prevention,
    Reason,
    RunState,
)
from checking_core.plugin.host import PluginState
from checking_server.api.listing import Listing

__all__ = [
    "BrokerHealth",
    "Check",
    "Checks",
    "Execution",
    "ExecutionWithOperation",
    "Executions",
    "Health",
    "ListedExecution",
    "ListedResult",
    "Liveness",
    "Operation",
    "Operations",
    "PartHealth",
    "PluginHealth",
    "PluginsHealth",
    "QueueHealth",
    "Readiness",
    "Result",
    "Results",
    "State",
    "StoreHealth",
]


class Operation(msgspec.Struct, frozen=True):
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


class ListedExecution(msgspec.Struct, frozen=True):
    """One procedure, performed once on one host by one agent.

    ``revision`` counts the different results that its link has told. ``clock`` is whose time ``started_at`` and
    ``finished_at`` are; ``reported_at`` is the time of the message itself.
    """

    id: UUID
    operation_id: UUID
    link_id: UUID
    source_id: str | None
    revision: int
    agent_host: str
    agent_paw: str
    agent: dict[str, Any] | None
    command: str
    plaintext_command: str | None
    executor: str | None
    platform: str | None
    pid: int | None
    status: int | None
    link_state: LinkState
    run_state: RunState
    cleanup: bool
    procedure_id: str | None
    procedure_name: str
    procedure_fingerprint: str
    tactic: str | None
    technique_id: str | None
    technique_name: str | None
    started_at: datetime
    finished_at: datetime | None
    started_at_least: datetime | None
    agent_reported_time: datetime | None
    clock: Clock
    reported_at: datetime
    created_at: datetime


class Execution(ListedExecution, frozen=True):
    """An execution with its output."""

    result_data: Any


class ExecutionWithOperation(Execution, frozen=True):
    """An execution and the operation it is part of."""

    operation: Operation


class Executions(Listing, frozen=True, kw_only=True):
    """A page of executions; what they printed is told of each alone."""

    items: list[ListedExecution]


class Check(msgspec.Struct, frozen=True):
    """One expectation of one execution on one backend (a detection execution).

    ``look`` is the number of the present or last look, ``available_at`` when that was due; at the ``deadline`` it stops
    waiting.
    """

    id: UUID
    execution_result_id: UUID
    operation_id: UUID
    expectation_id: str | None
    detection_type: str
    detection_platform: str
    detection_config: dict[str, Any]
    expect: Expect
    status: CheckStatus
    outcome: Outcome
    look: int
    dispatches: int
    available_at: datetime
    deadline: datetime
    lease_until: datetime | None
    task_id: UUID
    retry_count: int
    max_retries: int
    started_at: datetime | None
    completed_at: datetime | None
    execution_metadata: dict[str, Any]
    created_at: datetime


class Checks(Listing, frozen=True, kw_only=True):
    """A page of checks."""

    items: list[Check]


class ListedResult(msgspec.Struct, frozen=True):
    """One verdict of a check: the five answers, the headline and its reason, the flags, the times, the evidence."""

    id: UUID
    task_id: UUID | None
    detection_execution_id: UUID
    operation_id: UUID
    execution_result_id: UUID
    expectation_id: str | None
    detection_type: str
    detection_platform: str
    look: int
    detected: bool | None
    prevention: Prevention
    alert: Answer
    rule: Answer
    telemetry: Answer
    alive: Answer
    outcome: Outcome
    reason: Reason | None
    met: Met
    match_tier: MatchTier | None
    late: bool
    ambiguous: bool
    in_control_window: bool
    tooling: bool
    overridden: bool
    lift: float | None
    event_at: datetime | None
    indexed_at: datetime | None
    alert_at: datetime | None
    seen_at: datetime | None
    time_to_detect_s: float | None
    censored: bool
    query_sent: str | None
    searched_from: datetime | None
    searched_to: datetime | None
    result_timestamp: datetime
    result_source: str
    parsed_results: Any
    metadata: dict[str, Any] | None
    created_at: datetime


class Result(ListedResult, frozen=True):
    """A verdict with what the backend answered, cut where it was too long to keep."""

    raw_response: Any


class Results(Listing, frozen=True, kw_only=True):
    """A page of results; what backends answered is told of each alone."""

    items: list[ListedResult]


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
