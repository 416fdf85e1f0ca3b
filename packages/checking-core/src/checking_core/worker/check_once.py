"""One check without server and database: the same detector, window, matching and verdict as in the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from typing import Any, TypedDict, Unpack

import msgspec

from checking_core.contracts import (
    Clock,
    DetectionConfig,
    DetectionResult,
    DetectionTask,
    ExecutionContext,
    Expect,
    Met,
    TaskMetadata,
    check_id_of,
    config_digest,
    execution_id_of,
    identity,
    task_id_of,
    timing_of,
)
from checking_core.contracts.instant import in_utc
from checking_core.errors import ConfigurationError, NotFoundError, RejectedMessageError
from checking_core.expectations.config import strict_config
from checking_core.matching.judge import met_of
from checking_core.matching.looks import deadline_of
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.host import PluginHost, plain_backend
from checking_core.settings import BackendSettings, BackendsSettings, WorkerSettings, read
from checking_core.worker.run_task import close_detector, run_task

__all__ = ["Checked", "Execution", "check"]

_SOURCE = "check"
_CLOSE_WITHIN = 5.0


class Execution(TypedDict, total=False):
    """What else may be known of an execution; each is one more thing that its traces can be told by."""

    until: datetime | str
    command: str
    pid: int
    user: str
    technique: str


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, what came of it, and whether that is what was wanted."""

    task: DetectionTask
    result: DetectionResult
    expect: Expect
    met: Met


async def check(
    backend: str | BaseWorker,
    config: Mapping[str, Any],
    *,
    host: str,
    at: datetime | str,
    **known: Unpack[Execution],
) -> Checked:
    """Ask a backend once what it saw of one execution.

    Where the check's deadline has not passed yet, a no proves nothing: ``result.final`` is false then.

    Args:
        backend: name of a configured backend or of an installed plugin's platform; or a detector, which stays open.
        config: what to ask: the keys of an expectation's sections, such as ``{"alert": {"rule": "LSASS dump"}}``;
            nothing asks for all alerts of the host.
        host: where it ran.
        at: when it began; text is ISO 8601 with an offset.
        known: what else is known: ``until``, when it ended, ``command``, ``pid``, ``user``, ``technique``.

    Returns:
        The result in any case in which the backend was asked, also when it is away.

    Raises:
        ConfigurationError: a key, a time or a setting is wrong; nobody was asked.
        NotFoundError: there is no such backend.
    """
    started, ended = _bracket(at, known.get("until"))
    if not host.strip():
        raise ConfigurationError("host: is empty; name the host where it ran")
    detector, settings = _detector_of(backend)
    try:
        if (ended or started) > detector.clock():
            raise ConfigurationError(f"{'until' if ended else 'at'}: lies in the future; check what has ended")
        own = type(detector).Config.model_fields.keys() - DetectionConfig.model_fields.keys()
        context = ExecutionContext(
            agent_host=host.strip(),
            started_at=started,
            finished_at=ended,
            clock=Clock.AGENT,
            command=known.get("command") or "",
            pid=known.get("pid"),
            user=known.get("user"),
            technique_id=known.get("technique"),
        )
        return await _checked(detector, settings, strict_config(config, plugin_keys=own), context)
    finally:
        if detector is not backend:
            await close_detector(detector, within=_CLOSE_WITHIN)


async def _checked(
    detector: BaseWorker, backend: BackendSettings, config: dict[str, Any], context: ExecutionContext
) -> Checked:
    settings = read(WorkerSettings).model_copy(update={"jitter_min": 0.0, "jitter_max": 0.0})  # here is no crowd
    expect = DetectionConfig.model_validate(config).wanted
    task = _task(detector, backend, config, context, max_retries=settings.max_retries)
    result = await run_task(detector, task, settings, clock=detector.clock)
    assert result.outcome is not None  # noqa: S101 - run_task always judges
    met, why = met_of(expect, result.outcome, result.axes)
    return Checked(
        task=task, result=msgspec.structs.replace(result, reason=why or result.reason), expect=expect, met=met
    )


def _task(
    detector: BaseWorker,
    backend: BackendSettings,
    config: dict[str, Any],
    context: ExecutionContext,
    *,
    max_retries: int,
) -> DetectionTask:
    """The look that the engine would take now; its ids follow from what is asked."""
    timing = timing_of(DetectionConfig.model_validate(config), backend.timing)
    operation = identity(_SOURCE, msgspec.json.encode(context, order="deterministic").decode())
    check_id = check_id_of(execution_id_of(operation, operation), detector.backend, config_digest(config))
    assert context.started_at is not None  # noqa: S101 - check has set it
    deadline, now = deadline_of(context.finished_at or context.started_at, timing), detector.clock()
    return DetectionTask(
        task_id=task_id_of(check_id, 1),
        detection_execution_id=check_id,
        operation_id=operation,
        detection_type=backend.detection_type,
        detection_platform=detector.backend,
        detection_config=config,
        created_at=now,
        execution_context=context,
        max_retries=max_retries,
        metadata=TaskMetadata(worker_type=backend.detection_type),
        deadline=deadline,
        deadline_passed=deadline <= now,
        backend=detector.backend,
        timing=timing,
    )


def _detector_of(backend: str | BaseWorker) -> tuple[BaseWorker, BackendSettings]:
    """The detector of a configured backend; or of a platform, with that plugin's own variables."""
    if isinstance(backend, BaseWorker):
        return backend, plain_backend(type(backend))
    host = PluginHost.load()
    plain = {platform: plain_backend(kind) for platform, kind in host.detectors.items()}
    known = plain | host.backends(read(BackendsSettings))
    if backend not in known:
        near = get_close_matches(backend, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(known)) or 'none'}"
        raise NotFoundError(f"no backend and no platform is called {backend!r}; {hint}")
    return host.create(backend, known[backend]), known[backend]


def _bracket(at: datetime | str, until: datetime | str | None) -> tuple[datetime, datetime | None]:
    """Start and end in UTC."""
    started = _moment("at", at)
    ended = None if until is None else _moment("until", until)
    if ended is not None and ended < started:
        raise ConfigurationError("until: lies before the start; it is when the execution ended")
    return started, ended


def _moment(field: str, told: datetime | str) -> datetime:
    try:
        moment = datetime.fromisoformat(told) if isinstance(told, str) else told
    except ValueError:
        raise ConfigurationError(f"{field}: is no time; write it as 2026-11-20T19:28:38Z") from None
    if moment.tzinfo is None:
        raise ConfigurationError(f"{field}: has no time zone; add Z for UTC, or an offset such as +02:00")
    try:
        return in_utc(field, moment)
    except RejectedMessageError as error:
        raise ConfigurationError(f"{error}; write it as 2026-11-20T19:28:38Z") from None
