"""Structured logs: configured by entry points only, redacted, safe to read on a terminal.

Everywhere else: ``log = structlog.get_logger(__name__)`` and an event name with fields.
"""

from checking_core.log.redact import MASK, masked
from checking_core.log.setup import LogFormat, bind, configure

__all__ = ["MASK", "LogFormat", "bind", "configure", "masked"]
