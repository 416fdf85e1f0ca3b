"""Sigma rules over telemetry in files: a real detector without any product behind it."""

from __future__ import annotations

from checking_core import Command, hookimpl
from checking_plugin_sigma.detector import SigmaDetector


@hookimpl
def checking_detectors() -> list[type[SigmaDetector]]:
    """The detectors of this plugin."""
    return [SigmaDetector]


@hookimpl
def checking_commands() -> dict[str, Command]:
    """The commands that this plugin adds."""
    return {"sigma": Command("checking_plugin_sigma.commands:app", "Sigma rules over telemetry in files.")}
