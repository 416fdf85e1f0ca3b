"""See docs/explanation/architecture.md."""

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
from checking_core.testing.fake_detector import FakeDetector, hang
from checking_core.testing.transport_conformance import TransportConformance

__all__ = [
    "ENDED",
    "OPERATION_ID",
    "STARTED",
    "FakeDetector",
    "TransportConformance",
    "a_context",
    "a_link_message",
    "a_result",
    "a_task",
    "an_execution",
    "hang",
]
