"""Splunk and Splunk Enterprise Security: notable events, fired alerts, and searches in SPL."""

from __future__ import annotations

from checking_core import hookimpl
from checking_plugin_splunk.detector import SplunkDetector


@hookimpl
def checking_detectors() -> list[type[SplunkDetector]]:
    """The detectors of this plugin."""
    return [SplunkDetector]
