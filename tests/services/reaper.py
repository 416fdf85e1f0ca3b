"""A process of its own that outlives its parent for a moment and tidies up after it.

It reads ``+ GROUP SIGNAL`` and ``- GROUP`` from its stdin. The end of stdin means that the parent closed it or is
gone, however it went: then the remaining process groups get their signal, and the folder is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

PATIENCE = 5.0


def signal_all(groups: dict[int, int]) -> None:
    """Send each group its signal."""
    for group, number in groups.items():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def any_left(groups: dict[int, int]) -> bool:
    """Whether one of the groups still has a process."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            return True
    return False


def main(folder: str) -> None:
    """Collect groups until stdin ends, then end them and remove the folder."""
    groups: dict[int, int] = {}
    for line in sys.stdin:
        sign, group, *number = line.split()
        if sign == "+":
            groups[int(group)] = int(number[0])
        else:
            groups.pop(int(group), None)
    signal_all(groups)
    gentle = {group: signal.SIGKILL for group, number in groups.items() if number != signal.SIGKILL}
    end = time.monotonic() + PATIENCE
    while any_left(gentle) and time.monotonic() < end:
        time.sleep(0.02)
    signal_all(gentle)
    # A killed process may still be writing: once more until nothing is left.
    while os.path.lexists(folder) and time.monotonic() < end + PATIENCE:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
