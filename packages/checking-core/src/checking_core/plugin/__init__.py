"""What a plugin is made of: the hook, the template of a detector, what it returns, and the host that loads it."""

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
