"""A result in the making: from what a look brought, or from what went wrong, to the message that says so."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any

import msgspec
import structlog
from pydantic import BaseModel

from checking_core.contracts import (
    Answer,
    Ask,
    Axes,
    DetectionResult,
    DetectionTask,
    Outcome,
    ParsedResults,
    Prevention,
    Reason,
)
from checking_core.errors import DetectionError, RetriableDetectionError
from checking_core.matching.judge import judge, status_of
from checking_core.plugin.finding import Finding
from checking_core.worker.boundary import Limits, fitted, redacted, secrets_of, sound

__all__ = ["Draft"]

log = structlog.get_logger(__name__)

_REASONS = frozenset(Reason)
_NOT_APPLICABLE = frozenset({Reason.CAPABILITY_MISSING, Reason.OTHER_OS})
_MOST_WARNINGS = 20
_MOST_FAILURES = 5


class Draft:
    """The result of one task, begun before anything foreign runs, so that there is one however it ends.

    Args:
        task: what is answered.
        limits: sizes of what is kept.
        clock: for the times in the result.

    Attributes:
        plugin: name of the product that is asked.
        settings: the detector's own; no text of the result holds a secret of theirs.
        warnings: what a person should know about the question or the answer.
        failed: errors of the attempts that were repeated.
    """

    def __init__(self, task: DetectionTask, limits: Limits, clock: Callable[[], datetime]) -> None:
        self.plugin: str | None = None
        self.settings: object = None
        self.warnings: list[str] = []
        self.failed: list[DetectionError] = []
        self._task = task
        self._backend = task.backend or task.detection_platform
        self._limits = limits
        self._clock = clock
        self._started_at = clock()
        self._metadata: dict[str, Any] = {}

    def answer(self, found: object, asked: frozenset[Ask]) -> DetectionResult:
        """The verdict of what a detector returned.

        Raises:
            FatalDetectionError: it is no finding that a message can carry.
        """
        finding = sound(found, self._limits)
        may_prove = self._task.deadline_passed or self._task.deadline is None
        reason = finding.reason or (None if finding.complete else Reason.BACKEND_PARTIAL_ANSWER)
        judged = judge(_axes(finding, asked), proven=finding.complete and may_prove, reason=reason)
        self.warnings += finding.warnings
        result = self._result(
            judged.outcome,
            judged.reason,
            final=judged.final,
            detected=judged.detected,
            parsed_results=ParsedResults(
                evidence=finding.evidence,
                near_misses=finding.near_misses[: self._limits.near_misses],
                near_miss_counts=dict(Counter(miss.reason for miss in finding.near_misses)),
            ),
            **msgspec.structs.asdict(judged.axes),
            **{name: getattr(finding, name) for name in _SAME_NAME},
        )
        return fitted(result, self._limits.message)

    def refusal(self, reason: Reason, why: str, *, final: bool = True) -> DetectionResult:
        """No answer, for a reason in words."""
        outcome = Outcome.NOT_APPLICABLE if reason in _NOT_APPLICABLE else Outcome.INCONCLUSIVE
        self._metadata["error"] = self._shown(why)
        return self._result(outcome, reason, final=final, parsed_results=ParsedResults())

    def failure(self, error: BaseException) -> DetectionResult:
        """What an error that ended the look means. Only an outage is worth another look."""
        self._metadata["error_type"] = type(error).__name__
        if isinstance(error, DetectionError):
            retry_after = getattr(error, "retry_after", None)
            if isinstance(retry_after, timedelta):
                self._metadata["retry_after"] = retry_after.total_seconds()
        else:
            self._metadata["raised_at"] = _place_of(error)
        final = not isinstance(error, RetriableDetectionError)
        result = self.refusal(_reason_of(error), _words_of(error), final=final)
        log.warning("look_failed", backend=self._backend, reason=result.reason, final=final, **self._metadata)
        return result

    def _result(self, outcome: Outcome, reason: Reason | None, **answers: Any) -> DetectionResult:
        if self.plugin:
            self._metadata["plugin"] = self.plugin
        if self.warnings:
            self._metadata["warnings"] = [self._shown(text) for text in self.warnings[:_MOST_WARNINGS]]
        if self.failed:
            self._metadata["failed_attempts"] = [
                self._shown(_words_of(error)) for error in self.failed[-_MOST_FAILURES:]
            ]
        return DetectionResult(
            id=self._task.task_id,
            detection_execution_id=self._task.detection_execution_id,
            look=self._task.look,
            outcome=outcome,
            reason=reason,
            status=status_of(outcome),
            started_at=self._started_at,
            result_timestamp=self._clock(),
            result_source=self._backend[:255],
            result_metadata=self._metadata,
            retry_count=len(self.failed),
            **answers,
        )

    def _shown(self, text: str) -> str:
        secrets = secrets_of(self.settings) if isinstance(self.settings, BaseModel) else frozenset[str]()
        return redacted(text, secrets, self._limits.text)


_SAME_NAME = tuple(
    name
    for name in Finding.__struct_fields__
    if name in DetectionResult.__struct_fields__ and name not in (*Axes.__struct_fields__, "reason")
)


def _axes(finding: Finding, asked: frozenset[Ask]) -> Axes:
    """The answers; a question that was asked and left alone is unknown, not unasked."""
    said = {ask: getattr(finding, ask) for ask in Ask}
    for ask in asked:
        if said[ask] in (Answer.NOT_ASKED, Prevention.NOT_ASKED):
            said[ask] = Prevention.UNKNOWN if ask is Ask.PREVENTION else Answer.UNKNOWN
    return Axes(**{ask.value: answer for ask, answer in said.items()})


def _reason_of(error: BaseException) -> Reason:
    """The error's own reason. A subclass may have forgotten to set one, or have made one up."""
    reason = getattr(error, "reason", None) if isinstance(error, DetectionError) else None
    return Reason(reason) if isinstance(reason, str) and reason in _REASONS else Reason.PLUGIN_ERROR


def _words_of(error: BaseException) -> str:
    """The error's message; foreign ones may fail even at that."""
    return str(traceback.TracebackException(type(error), error, None, compact=True)) or type(error).__name__


def _place_of(error: BaseException) -> str:
    """Where in the plugin it happened: file name and line are enough to find it and reveal no machine."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
