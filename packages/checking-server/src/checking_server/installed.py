"""What is installed: plugins, and the backends that they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from checking_core.plugin.host import PluginHost
from checking_core.settings import BackendSettings

__all__ = ["Installed"]

_AT_ONCE = 2


class Installed:
    """The plugins of this installation and the backends that they serve.

    Attributes:
        host: the plugins.
        backends: the configured ones, by name.
        places: for self-checks, each of which takes a thread: so many run at a time.
    """

    def __init__(self, host: PluginHost, backends: Mapping[str, BackendSettings]) -> None:
        self.host = host
        self.backends = dict(backends)
        self.places = asyncio.Semaphore(_AT_ONCE)
