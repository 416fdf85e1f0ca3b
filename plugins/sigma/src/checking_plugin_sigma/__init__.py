"""Sigma rules over telemetry in files: a real detector without any product behind it."""

from __future__ import annotations

from checking_core import hookimpl
from checking_plugin_sigma.detector import SigmaDetector


@hookimpl
def checking_detectors() -> list[type[SigmaDetector]]:
    """The detectors of this plugin."""
    return [SigmaDetector]
