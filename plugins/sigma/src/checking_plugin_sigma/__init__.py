"""Sigma rules over telemetry in files: a real detector without any product behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checking_core import Command, Demo, hookimpl

if TYPE_CHECKING:
    from checking_plugin_sigma.detector import SigmaDetector


@hookimpl
def checking_detectors() -> list[type[SigmaDetector]]:
    """The detectors of this plugin. Loaded here: its commands need none."""
    from checking_plugin_sigma.detector import SigmaDetector

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
