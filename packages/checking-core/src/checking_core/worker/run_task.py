"""One task to one result, whatever the plugin does. The border where foreign code ends: nothing passes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import structlog
from pydantic import AliasChoices, ValidationError

from checking_core.contracts import DetectionConfig, DetectionResult, DetectionTask, Reason
from checking_core.errors import QueryInvalidError
from checking_core.plugin.base import BaseWorker, Look
from checking_core.settings import WorkerSettings
from checking_core.worker.boundary import Limits
from checking_core.worker.draft import Draft

__all__ = ["close_detector", "run_task"]

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


async def run_task(
    detector: BaseWorker | None,
    task: DetectionTask,
    settings: WorkerSettings,
    *,
    limits: Limits | None = None,
    clock: Callable[[], datetime] = _now,
) -> DetectionResult:
    """Ask a detector once and judge its answer.

    Always returns a result that the server can read, except when the caller cancels it.

    Args:
        detector: what serves the task's backend; ``None`` when nothing here does.
        task: one look.
        settings: jitter, and retries for tasks that bring no times.
        limits: sizes of what is kept.
        clock: for the times in the result.
    """
    draft = Draft(task, limits or Limits(), clock)
    if detector is None:
        backend = task.backend or task.detection_platform
        return draft.refusal(Reason.UNSUPPORTED_PLATFORM, f"nothing here serves {task.detection_type} of {backend}")
    try:
        return await _ask(detector, task, settings, draft)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            raise
        return draft.failure(error)


async def close_detector(detector: BaseWorker, *, within: float) -> None:
    """Let a detector release what it holds; what goes wrong is logged and harms nobody.

    Args:
        detector: will not be asked again.
        within: seconds it may take.
    """
    try:
        async with asyncio.timeout(within):
            await detector.close()
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            raise
        log.warning("detector_not_closed", detector=type(detector).__name__, error_type=type(error).__name__)


def _cancelled_from_outside() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _ask(detector: BaseWorker, task: DetectionTask, settings: WorkerSettings, draft: Draft) -> DetectionResult:
    """Put the task's questions to the detector; raises whatever it raises."""
    draft.plugin, draft.settings = detector.platform, detector.settings
    config = _config_of(detector, task)
    unread = task.detection_config.keys() - _keys_of(type(config))
    draft.warnings += [f"detection_config: nobody reads the key {key!r}" for key in sorted(unread)]
    if missing := config.asks - detector.answers:
        words = ", ".join(sorted(missing))
        return draft.refusal(Reason.CAPABILITY_MISSING, f"the plugin {detector.platform} cannot answer: {words}")
    return draft.answer(await detector.look(Look.of(task, config, settings, draft.failed)), config.asks)


def _config_of(detector: BaseWorker, task: DetectionTask) -> DetectionConfig:
    try:
        return detector.Config.model_validate(task.detection_config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise QueryInvalidError(f"detection_config.{field}: {first['msg']}") from error


@cache
def _keys_of(model: type[DetectionConfig]) -> frozenset[str]:
    """Every key that a configuration reads, under all its names."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        names |= {choice for choice in choices if isinstance(choice, str)}
    return frozenset(names)
