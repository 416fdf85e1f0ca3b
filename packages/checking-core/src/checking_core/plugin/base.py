"""The template of every detector: jitter, attempts with a time-out, retries. A detector adds the asking."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import ClassVar

import msgspec
import structlog
from pydantic_settings import BaseSettings

from checking_core.contracts import Ask, DetectionConfig, DetectionTask, timing_of
from checking_core.errors import BackendUnreachableError, DetectionError, FatalDetectionError, RetriableDetectionError
from checking_core.plugin.finding import Finding
from checking_core.plugin.retry import RetryPolicy
from checking_core.plugin.shared import contained, look_at
from checking_core.settings import WorkerSettings

__all__ = ["BaseWorker", "Health", "Look", "NoSettings"]

log = structlog.get_logger(__name__)


class NoSettings(BaseSettings):
    """For a detector that needs none."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-check found. ``ok`` is ``None`` when the detector has none."""

    ok: bool | None
    detail: str = ""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One look under way: the task, how it is asked, and the errors of the attempts that were repeated so far."""

    task: DetectionTask
    timeout: float
    policy: RetryPolicy
    jitter: tuple[float, float]
    failed: list[DetectionError]

    @classmethod
    def of(
        cls, task: DetectionTask, config: DetectionConfig, settings: WorkerSettings, failed: list[DetectionError]
    ) -> Look:
        """The look that a task asks for. The worker's own retries and delay are for tasks that bring no times."""
        if task.timing is not None:
            timeout, retries, delay = task.timing.timeout, task.max_retries, task.timing.delay
        else:
            timeout, retries = timing_of(config).timeout, max(task.max_retries, settings.max_retries)
            delay = settings.retry_delay if config.delay is None else config.delay
        jitter = (settings.jitter_min, max(settings.jitter_min, settings.jitter_max))
        policy = RetryPolicy(retries=retries, delay=delay)
        return cls(task=task, timeout=timeout, policy=policy, jitter=jitter, failed=failed)


class BaseWorker(ABC):
    """One backend, asked by one plugin. Subclasses set the class attributes and implement ``detect``.

    A detector that needs something else than ``settings`` narrows the attribute's type in its own class body:
    ``settings: SplunkSettings``. Nothing may connect before ``start``.

    Args:
        backend: name of the configured product instance.
        settings: this detector's own, an instance of ``Settings``.
        random: spreads looks and retries; give a seeded one to a test.
        sleep: how jitter and retries wait.
        clock: the present time, aware.
    """

    platform: ClassVar[str]
    """Name of the product, ``[a-z0-9_-]{1,40}``: what a backend's ``plugin`` setting names."""
    detection_types: ClassVar[AbstractSet[str]] = frozenset({"api"})
    """Kinds of task it takes: ``api``, or the platforms of an agent."""
    answers: ClassVar[AbstractSet[Ask]]
    """The questions it can answer. One that asks more is ``not_applicable``, and never reaches ``detect``."""
    Settings: ClassVar[type[BaseSettings]] = NoSettings
    """Where its credentials come from; one instance for each backend."""
    Config: ClassVar[type[DetectionConfig]] = DetectionConfig
    """The ``detection_config`` it reads: the common keys and its own."""
    concurrency: ClassVar[int | None] = None
    """Attempts at a time that the product tolerates; ``None``: as many as the worker runs."""
    cancel_grace: ClassVar[float] = 5.0
    """Seconds that an attempt has to clean up after its time-out, before it is left to itself."""

    def __init__(
        self,
        backend: str,
        settings: BaseSettings,
        *,
        random: Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.backend = backend
        self.settings = settings
        self.clock = clock
        self._random = random or Random()  # noqa: S311 - spreads load, guards nothing
        self._sleep = sleep
        self._slots: AbstractAsyncContextManager[object] = (
            asyncio.Semaphore(self.concurrency) if self.concurrency else nullcontext()
        )
        self._starting = asyncio.Lock()
        self._started = False
        self._left_behind: set[asyncio.Task[Finding]] = set()

    @abstractmethod
    async def detect(self, task: DetectionTask) -> Finding:
        """Ask the backend once. May run many times at once.

        Raises:
            RetriableDetectionError: the same question may be answered in a moment.
            FatalDetectionError: asking again cannot help; its reason explains the verdict.
        """

    async def start(self) -> None:  # noqa: B027 - most detectors have nothing to open
        """Open connections. Runs before the first attempt; if it raises, the next attempt starts again."""

    async def close(self) -> None:  # noqa: B027
        """Release what ``start`` opened. Called once, also when nothing was started."""

    async def self_check(self) -> Health:
        """Whether the backend can be reached with these settings. Changes nothing there."""
        return Health(ok=None, detail="has no self-check")

    async def look(self, look: Look) -> Finding:
        """Ask until there is an answer or the retries are spent.

        Raises:
            DetectionError: the last attempt's; those before it are in ``look.failed``.
        """
        await self._wait(self._random.uniform(*look.jitter))
        while True:
            try:
                return await self._attempt(look)
            except RetriableDetectionError as error:
                wait = look.policy.wait(len(look.failed) + 1, error, self._random)
                if wait is None:
                    raise
                look.failed.append(error)
                await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)

    async def _attempt(self, look: Look) -> Finding:
        """One attempt, in an asyncio task of its own: code that ignores its cancellation must not hold us."""
        async with self._slots:
            attempt = asyncio.create_task(
                contained(partial(self._ask, look.task)), name=f"{self.backend} {look.task.task_id}"
            )
            try:
                await asyncio.wait({attempt}, timeout=look.timeout)
                if not attempt.done():
                    raise BackendUnreachableError(f"no answer within {look.timeout:g} s")
            finally:
                await self._end(attempt)
        if attempt.cancelled():
            raise FatalDetectionError("the plugin cancelled its own attempt")
        return attempt.result()

    async def _ask(self, task: DetectionTask) -> Finding:
        if not self._started:
            await self._start_once()
        return await self.detect(task)

    async def _start_once(self) -> None:
        async with self._starting:
            if not self._started:
                await self.start()
                self._started = True

    async def _end(self, attempt: asyncio.Task[Finding]) -> None:
        if attempt.done():
            return
        attempt.cancel()
        self._left_behind.add(attempt)
        attempt.add_done_callback(self._forget)
        await asyncio.wait({attempt}, timeout=self.cancel_grace)
        if not attempt.done():
            log.warning("attempt_ignores_cancellation", backend=self.backend, left_behind=len(self._left_behind))

    def _forget(self, attempt: asyncio.Task[Finding]) -> None:
        self._left_behind.discard(attempt)
        look_at(attempt)
