"""When Python looks for what nothing refers to any more, in a server that has loaded what it needs."""

from __future__ import annotations

import gc

__all__ = ["Refuse", "collect_seldom"]

_NEW = 50_000
"""Objects that have come and stayed since the last look: some batches, or a page of a list for each connection."""
_YOUNGER = 20
"""Looks at the new ones for one at the older."""
_MOST_KEPT = 16 * 1024 * 1024
"""Bytes of what was refused since the last look."""


def collect_seldom() -> None:
    """Leave alone what is loaded by now, and look for garbage once for many requests, not many times in each.

    By default a look is taken for every 700 objects that stay, and a page of 1,000 rows is thousands of them: a third
    of its time went into that. What only a look can find is made by errors, see ``Refuse``.
    """
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNGER, _YOUNGER)


class Refuse:
    """Bodies of requests that failed.

    An error and the frames that it passed hold each other, and with them the body: few objects, of any size, that only
    a look can free.
    """

    def __init__(self) -> None:
        self._kept = 0

    def add(self, size: int) -> None:
        """One of so many bytes was refused; has them looked for before they are too many."""
        self._kept += size
        if self._kept >= _MOST_KEPT:
            self._kept = 0
            gc.collect(1)
