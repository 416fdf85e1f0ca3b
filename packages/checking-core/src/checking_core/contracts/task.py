"""``detection task``: one look of a check on its way to a worker. Carries everything; the worker has no database."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from checking_core.contracts.link_result import Clock

__all__ = ["DetectionTask", "ExecutionContext", "TaskMetadata", "Timing"]

Span: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=30 * 86_400)]


class ExecutionContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the worker knows of the execution. Times are aware; ``clock`` says whose clock the window is on.

    ``addresses`` are those of its host, ``agent_pid`` is the red team's own process there.
    """

    agent_host: str
    agent_paw: str = ""
    agent_reported_time: datetime | None = None
    started_at_least: datetime | None = None
    link_id: UUID | None = None
    pid: int | None = None
    command: str = ""
    plaintext_command: str | None = None
    executor: str | None = None
    platform: str | None = None
    user: str | None = None
    technique_id: str | None = None
    tactic: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    clock: Clock = Clock.MESSAGE
    host_aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    agent_pid: int | None = None
    operation_started_at: datetime | None = None


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The times of a check, in seconds: search window around the execution, first look, deadline, one attempt."""

    before: Span
    after: Span
    settle: Span
    deadline: Span
    poll_interval: Span = 15.0
    timeout: Span = 60.0
    delay: Span = 3.0


class TaskMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Kept for workers of the original system."""

    worker_type: str = "api"
    priority: str | int = "normal"
    target_queue: str = ""


class DetectionTask(msgspec.Struct, frozen=True, kw_only=True):
    """One look. ``deadline_passed`` is told by the dispatcher, whose clock is the store's: the worker's may be off."""

    task_id: UUID
    detection_execution_id: UUID
    operation_id: UUID
    detection_type: str
    detection_platform: str
    detection_config: dict[str, Any]
    created_at: datetime
    execution_context: ExecutionContext
    max_retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 1
    metadata: TaskMetadata = TaskMetadata()
    v: int = 1
    look: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] = 1
    deadline: datetime | None = None
    deadline_passed: bool = False
    backend: str = ""
    timing: Timing | None = None
