"""Who changes something by a command, for the audit log."""

from __future__ import annotations

import getpass

from checking_core.storage.audit import Author

__all__ = ["author"]


def author() -> Author:
    """The user of this machine."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number that has no name
        name = "somebody"
    return Author(name=f"{name} (command line)"[:255])
