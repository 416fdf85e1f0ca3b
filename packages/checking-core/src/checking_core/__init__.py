"""Checking: contracts, worker template, matching and storage of the detection validation engine.

What a plugin needs stands here: ``from checking_core import BaseWorker, Finding, hookimpl``. Names are loaded when
they are first used, so that a command that needs none of them starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checking_core.contracts import (
        Answer,
        Ask,
        DetectionConfig,
        DetectionResult,
        DetectionTask,
        Evidence,
        EvidenceClaim,
        EvidenceKind,
        ExecutionContext,
        MatchTier,
        NearMiss,
        Outcome,
        Prevention,
        Reason,
        Timing,
    )
    from checking_core.errors import (
        BackendAuthFailedError,
        BackendPartialAnswerError,
        BackendRateLimitedError,
        BackendUnreachableError,
        CheckingError,
        DetectionError,
        FatalDetectionError,
        QueryInvalidError,
        RetriableDetectionError,
    )
    from checking_core.matching.record import Alert, Event, Match
    from checking_core.plugin import (
        BaseWorker,
        Command,
        Demo,
        DemoRequest,
        Finding,
        Health,
        Rule,
        SearchAnswer,
        SearchDetector,
        SearchRequest,
        Shown,
        hookimpl,
    )
    from checking_core.worker.check_once import Checked, check

__all__ = [
    "Alert",
    "Answer",
    "Ask",
    "BackendAuthFailedError",
    "BackendPartialAnswerError",
    "BackendRateLimitedError",
    "BackendUnreachableError",
    "BaseWorker",
    "Checked",
    "CheckingError",
    "Command",
    "Demo",
    "DemoRequest",
    "DetectionConfig",
    "DetectionError",
    "DetectionResult",
    "DetectionTask",
    "Event",
    "Evidence",
    "EvidenceClaim",
    "EvidenceKind",
    "ExecutionContext",
    "FatalDetectionError",
    "Finding",
    "Health",
    "Match",
    "MatchTier",
    "NearMiss",
    "Outcome",
    "Prevention",
    "QueryInvalidError",
    "Reason",
    "RetriableDetectionError",
    "Rule",
    "SearchAnswer",
    "SearchDetector",
    "SearchRequest",
    "Shown",
    "Timing",
    "check",
    "hookimpl",
]

_HOMES = {"Checked": "worker.check_once", "check": "worker.check_once"}
"""What is rarely wanted, and brings more with it."""
_ROOMS = ("errors", "plugin", "contracts", "matching.record")
"""What is quickly loaded comes first."""


def __getattr__(name: str) -> object:
    if name in __all__:
        for room in [_HOMES[name]] if name in _HOMES else _ROOMS:
            module = import_module(f"{__name__}.{room}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
