"""Commands as processes, and what they use."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence

import psutil

__all__ = ["Process", "Surroundings", "started"]


class Process:
    """A process and what it has used: CPU of all its children too, dead ones included where the system counts them.

    Args:
        name: in the figures.
        pid: of the process.
        apart: pids of children that do not count, such as a database's part that serves who watches.
    """

    def __init__(self, name: str, pid: int, apart: Collection[int] = ()) -> None:
        self.name = name
        self.peak = 0.0
        self._apart = frozenset(apart)
        self._root = psutil.Process(pid)
        self._before = self._cpu()

    def used(self) -> float:
        """CPU seconds since the beginning."""
        return self._cpu() - self._before

    def look(self) -> None:
        """Note the memory of now. Finding the children takes milliseconds: a few times a second at most."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.peak = max(self.peak, sum(member.memory_info().rss for member in self._members()) / 1e6)

    def own_memory(self) -> float:
        """MB that nobody else maps: without what the parts of a database share."""
        total = 0.0
        for member in self._members():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_full_info().uss / 1e6
        return total

    def _cpu(self) -> float:
        total = 0.0
        for member in self._members():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def _members(self) -> list[psutil.Process]:
        children = self._root.children(recursive=True)
        return [self._root, *(child for child in children if child.pid not in self._apart)]


class Surroundings:
    """What the rest of the machine did meanwhile: a figure from a busy machine says less.

    Args:
        watched: processes that are no part of the rest; this one is none either.
    """

    def __init__(self, watched: Sequence[Process]) -> None:
        self._watched = watched
        self._busy, self._ours, self._wall = self._now()

    def cores(self) -> float:
        """Cores that others kept busy since the beginning, on average."""
        busy, ours, wall = self._now()
        return max(0.0, (busy - self._busy - (ours - self._ours)) / (wall - self._wall))

    def _now(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
        ours = time.process_time() + sum(process.used() for process in self._watched)
        return busy, ours, time.perf_counter()


@contextlib.contextmanager
def started(*command: str, environment: dict[str, str], ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command of ours, once it has said that it is ready."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        while ready not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit(f"{command[0]} ended with {process.wait()}")
        yield process
    finally:
        process.terminate()
        process.wait(60)
