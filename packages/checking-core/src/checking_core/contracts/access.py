"""Who may do what: four roles, each of which may do what the ones before it may."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["AccessRole"]


class AccessRole(StrEnum):
    """What the owner of a key may do."""

    VIEWER = "viewer"
    """Read."""
    ANALYST = "analyst"
    """Also override verdicts, and have checks asked again."""
    OPERATOR = "operator"
    """Also feed in executions, and change checks."""
    ADMIN = "admin"
    """Everything: keys, corrections, deletes."""

    def may(self, needed: AccessRole) -> bool:
        """Whether this role is at least the one that is needed."""
        order = list(AccessRole)
        return order.index(self) >= order.index(needed)
