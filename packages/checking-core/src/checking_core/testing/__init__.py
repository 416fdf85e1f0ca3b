"""See docs/explanation/architecture.md."""

from checking_core.testing.transport_conformance import TransportConformance

__all__ = ["TransportConformance"]
