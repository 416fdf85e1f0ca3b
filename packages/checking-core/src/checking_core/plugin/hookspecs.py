"""What a plugin may implement: one hook. A second one enters only together with a real plugin that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from checking_core.plugin.base import BaseWorker

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
