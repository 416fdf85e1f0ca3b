"""One task to one result, whatever the plugin does. The border where foreign code ends: nothing passes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import cache

import msgspec
import structlog
from pydantic import AliasChoices, ValidationError

from checking_core.contracts import DetectionConfig, DetectionResult, DetectionTask, Reason, canonical_config
from checking_core.errors import QueryInvalidError
from checking_core.plugin.base import BaseWorker, Look
from checking_core.settings import WorkerSettings
from checking_core.worker.boundary import Limits
from checking_core.worker.draft import Draft
from checking_core.worker.watchdog import Watchdog

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
    watchdog: Watchdog | None = None,
) -> DetectionResult:
    """Ask a detector once and judge its answer.

    Always returns a result that the server can read, except when the caller cancels it.

    Args:
        detector: what serves the task's backend; ``None`` when nothing here does.
        task: one look.
        settings: jitter, and retries for tasks that bring no times.
        limits: sizes of what is kept.
        clock: for the times in the result.
        watchdog: is told that the look is under way, and how long it may take.
    """
    draft = Draft(task, limits or Limits(), clock)
    if detector is None:
        backend = task.backend or task.detection_platform
        return draft.refusal(Reason.UNSUPPORTED_PLATFORM, f"nothing here serves {task.detection_type} of {backend}")
    try:
        return await _ask(detector, task, settings, draft, watchdog)
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _cancelled_from_outside():
            raise
        return _failure(draft, error)


def _failure(draft: Draft, error: BaseException) -> DetectionResult:
    """The result of what was raised, which is foreign code itself: its attributes may raise."""
    try:
        return draft.failure(error)
    except BaseException:  # noqa: BLE001 - the border where foreign code ends
        name = type(error).__name__
        return draft.refusal(Reason.PLUGIN_ERROR, f"the plugin raised {name}, which cannot be read")


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


async def _ask(
    detector: BaseWorker, task: DetectionTask, settings: WorkerSettings, draft: Draft, watchdog: Watchdog | None
) -> DetectionResult:
    """Put the task's questions to the detector; raises whatever it raises."""
    draft.plugin, draft.settings = detector.platform, detector.settings
    # a server of the original system sends a bare query
    task = msgspec.structs.replace(task, detection_config=canonical_config(task.detection_config))
    config = _config_of(detector, task)
    unread = task.detection_config.keys() - _keys_of(type(config))
    draft.warnings += [f"detection_config: nobody reads the key {key!r}" for key in sorted(unread)]
    if missing := config.asks - detector.answers:
        words = ", ".join(sorted(missing))
        return draft.refusal(Reason.CAPABILITY_MISSING, f"the plugin {detector.platform} cannot answer: {words}")
    look = Look.of(task, config, settings, draft.failed)
    with watchdog.look(detector.backend, look) if watchdog else nullcontext():
        found = await detector.look(look)
    return draft.answer(found, config.asks)


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
