"""A command that a plugin adds to ``checking``."""

from __future__ import annotations

import msgspec

__all__ = ["Command"]


class Command(msgspec.Struct, frozen=True):
    """Where a command stands, and what it does in one sentence.

    ``target`` is ``package.module:name`` of a function or a ``cyclopts.App``. It answers with an exit code; what it
    raises of ours becomes one line and a code, as with every other command.
    """

    target: str
    help: str
