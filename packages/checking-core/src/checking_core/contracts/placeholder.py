"""``${agent_host}`` in a query stands for a value of the execution: the names that there are."""

from __future__ import annotations

import re

__all__ = ["PLACEHOLDER", "PLACEHOLDERS"]

PLACEHOLDERS = ("agent_host", "host_names", "command", "pid", "user", "started_at", "finished_at", "marker")

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
"""Its group is the name."""
