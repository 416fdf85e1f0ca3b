"""What a plugin is made of: the hook, the template of a detector, what it returns, and the host that loads it.

Names are loaded when they are first used: the command of a plugin needs no detector.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from checking_core.plugin.base import BaseWorker, Health, Look, NoSettings
    from checking_core.plugin.commands import Command
    from checking_core.plugin.demo import Demo, DemoRequest, Shown
    from checking_core.plugin.detector import SearchDetector
    from checking_core.plugin.finding import Finding
    from checking_core.plugin.hookspecs import GROUP, hookimpl, hookspec
    from checking_core.plugin.host import PluginHost, PluginInfo, PluginState
    from checking_core.plugin.retry import RetryPolicy
    from checking_core.plugin.search import Rule, SearchAnswer, SearchRequest

__all__ = [
    "GROUP",
    "BaseWorker",
    "Command",
    "Demo",
    "DemoRequest",
    "Finding",
    "Health",
    "Look",
    "NoSettings",
    "PluginHost",
    "PluginInfo",
    "PluginState",
    "RetryPolicy",
    "Rule",
    "SearchAnswer",
    "SearchDetector",
    "SearchRequest",
    "Shown",
    "hookimpl",
    "hookspec",
]

_HOMES = {
    **dict.fromkeys(("BaseWorker", "Health", "Look", "NoSettings"), "base"),
    "Command": "commands",
    **dict.fromkeys(("Demo", "DemoRequest", "Shown"), "demo"),
    "SearchDetector": "detector",
    "Finding": "finding",
    **dict.fromkeys(("GROUP", "hookimpl", "hookspec"), "hookspecs"),
    **dict.fromkeys(("PluginHost", "PluginInfo", "PluginState"), "host"),
    "RetryPolicy": "retry",
    **dict.fromkeys(("Rule", "SearchAnswer", "SearchRequest"), "search"),
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
