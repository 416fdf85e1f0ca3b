"""What Falcon did about what it alerted on: ``pattern_disposition``, a bit mask. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checking_core import Prevention
from checking_core.plugin.fields import number_at

__all__ = ["contradiction_in", "prevention_of"]

_BLOCKED = {
    "operation_blocked": 1024,
    "process_blocked": 2048,
    "registry_operation_blocked": 4096,
    "fs_operation_blocked": 32768,
    "handle_operation_downgraded": 65536,
}
"""It did not come to pass."""
_TERMINATED = {
    "kill_process": 16,
    "quarantine_file": 128,
    "kill_parent": 512,
    "suspend_process": 524288,
    "suspend_parent": 1048576,
}
"""It had begun, and was ended."""
_FAILED = {
    "policy_disabled": 256,
    "critical_process_disabled": 8192,
    "bootup_safeguard_enabled": 16384,
    "kill_action_failed": 131072,
    "blocking_unsupported_or_disabled": 262144,
    "response_action_failed": 4194304,
}
"""It would have been stopped, and was not."""
_ALREADY = {"response_action_already_applied": 2097152}
"""By whatever was done before: this alert does not tell."""
_FLAGS = {**_BLOCKED, **_TERMINATED, **_FAILED, **_ALREADY}
_NEWER = 8388608
"""From this bit on nobody has said what they mean."""


def prevention_of(alert: Mapping[str, Any]) -> Prevention:
    """Whether the alert says that Falcon stopped the action.

    Alerts of clouds, identities and correlation rules have no mask: they tell nothing. Neither does a mask that its own
    details contradict, nor one with bits that are not known, for they could mean that it failed.
    """
    mask = number_at(alert, "pattern_disposition")
    if mask is None or mask < 0 or mask >= _NEWER or mask & _bits(_ALREADY) or contradiction_in(alert):
        return Prevention.UNKNOWN
    if mask & _bits(_FAILED):
        return Prevention.NOT_BLOCKED
    if mask & _bits(_BLOCKED):
        return Prevention.BLOCKED
    return Prevention.TERMINATED if mask & _bits(_TERMINATED) else Prevention.NOT_BLOCKED


def contradiction_in(alert: Mapping[str, Any]) -> str | None:
    """Where the mask and its details disagree, in words; details that are not there contradict nothing."""
    mask, details = number_at(alert, "pattern_disposition"), alert.get("pattern_disposition_details")
    if mask is None or not isinstance(details, Mapping):
        return None
    wrong = [name for name, bit in _FLAGS.items() if name in details and bool(details[name]) != bool(mask & bit)]
    return f"pattern_disposition {mask} and its details disagree on {', '.join(wrong)}" if wrong else None


def _bits(flags: Mapping[str, int]) -> int:
    return sum(flags.values())
