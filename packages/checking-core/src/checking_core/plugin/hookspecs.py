"""What a plugin may implement. A hook enters only together with a real plugin that uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from checking_core.plugin.base import BaseWorker
    from checking_core.plugin.commands import Command
    from checking_core.plugin.demo import Demo

__all__ = ["GROUP", "PROJECT", "HookSpecs", "hookimpl", "hookspec"]

PROJECT = "checking"
"""The name that pluggy marks our hooks with."""

GROUP = "checking.plugins"
"""The entry-point group: name of the plugin = module that implements the hook."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks."""

    @hookspec
    def checking_detectors(self) -> Sequence[type[BaseWorker]]:  # type: ignore[empty-body]
        """The detector classes of this plugin. Called once, when plugins are loaded; must not connect anywhere."""

    @hookspec
    def checking_commands(self) -> Mapping[str, Command]:  # type: ignore[empty-body]
        """Commands that this plugin adds to ``checking``, by name.

        They are told, not imported: whatever they need is loaded when one of them runs.
        """

    @hookspec
    def checking_demo(self) -> Demo:  # type: ignore[empty-body]
        """What ``checking demo`` can show with this plugin."""
