"""When Python looks for what nothing refers to any more; of a process that serves, and has loaded what it needs."""

from __future__ import annotations

import gc

__all__ = ["collect_seldom"]

_NEW = 50_000
"""Objects that have come and stayed since the last look: some batches, or a page of a list for each connection."""
_YOUNGER = 20
"""Looks at the new ones for one at the older."""


def collect_seldom() -> None:
    """Leave alone what is loaded by now, and look for garbage once for many requests, not many times in each.

    By default a look is taken for every 700 objects that stay, and a page of 1,000 rows is thousands of them: a third
    of its time went into that. Almost nothing of ours is garbage that only a look can find.
    """
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNGER, _YOUNGER)
