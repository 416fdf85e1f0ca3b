"""A detector that knows which Sigma rules there are, so that a wrong name is told before anything runs."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

__all__ = ["KnowsRules"]


@runtime_checkable
class KnowsRules(Protocol):
    """What such a detector has beside what every detector has."""

    def rule_problem(self, sigma: str | dict[str, Any]) -> str | None:
        """What keeps a rule, named or brought by a check, from being asked, in words."""
        ...
