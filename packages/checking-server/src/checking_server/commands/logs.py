"""What a command that a person waits for says of its steps."""

from __future__ import annotations

from checking_core import log
from checking_core.settings import LogSettings

__all__ = ["log_problems"]


def log_problems(settings: LogSettings, *, least: str = "WARNING") -> None:
    """Log problems only, unless the person asked for another level.

    Args:
        settings: where, and how.
        least: the level of a problem that the command does not tell by itself.
    """
    level = settings.level if "level" in settings.model_fields_set else least
    log.configure(level, settings.format, settings.file)
