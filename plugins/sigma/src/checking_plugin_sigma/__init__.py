"""Sigma rules over telemetry in files: a real detector without any product behind it."""

from __future__ import annotations

from checking_core import Command, Demo, hookimpl
from checking_plugin_sigma.detector import SigmaDetector


@hookimpl
def checking_detectors() -> list[type[SigmaDetector]]:
    """The detectors of this plugin."""
    return [SigmaDetector]


@hookimpl
def checking_commands() -> dict[str, Command]:
    """The commands that this plugin adds."""
    return {"sigma": Command("checking_plugin_sigma.commands:app", "Sigma rules over telemetry in files.")}


@hookimpl
def checking_demo() -> Demo:
    """What ``checking demo`` shows with this plugin."""
    return Demo(
        "checking_plugin_sigma.demo:shown",
        Command("checking_plugin_sigma.commands:record_steps", "Record an operation of your own."),
    )
