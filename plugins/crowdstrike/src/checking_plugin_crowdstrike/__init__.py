"""CrowdStrike Falcon: its alerts, what it prevented, and whether a host's sensor reports."""

from __future__ import annotations

from checking_core import hookimpl
from checking_plugin_crowdstrike.detector import CrowdStrikeDetector


@hookimpl
def checking_detectors() -> list[type[CrowdStrikeDetector]]:
    """The detectors of this plugin."""
    return [CrowdStrikeDetector]
