"""What tests of detectors and of adapters need. Names are loaded when they are first used."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checking_core.testing.builders import (
        ENDED,
        OPERATION_ID,
        STARTED,
        a_context,
        a_link_message,
        a_result,
        a_task,
        an_execution,
    )
    from checking_core.testing.cassette import record, replay
    from checking_core.testing.detector_conformance import (
        RETRY_AFTER,
        DetectorConformance,
        KitClock,
        Relaxation,
        Stage,
        Trouble,
    )
    from checking_core.testing.fake_detector import FakeDetector, hang
    from checking_core.testing.transport_conformance import TransportConformance

__all__ = [
    "ENDED",
    "OPERATION_ID",
    "RETRY_AFTER",
    "STARTED",
    "DetectorConformance",
    "FakeDetector",
    "KitClock",
    "Relaxation",
    "Stage",
    "TransportConformance",
    "Trouble",
    "a_context",
    "a_link_message",
    "a_result",
    "a_task",
    "an_execution",
    "hang",
    "record",
    "replay",
]

_ROOMS = ("builders", "fake_detector", "cassette")
_KITS = ("detector_conformance", "transport_conformance")


def __getattr__(name: str) -> object:
    if name in __all__:
        for room in (*_ROOMS, *_KITS):
            module = f"{__name__}.{room}"
            if room in _KITS:
                _explain_assertions_of(module)
            if hasattr(import_module(module), name):
                return getattr(sys.modules[module], name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _explain_assertions_of(module: str) -> None:
    """A rule that fails shows the values, as a test of the author's own does."""
    if module not in sys.modules:
        import_module("pytest").register_assert_rewrite(module)
