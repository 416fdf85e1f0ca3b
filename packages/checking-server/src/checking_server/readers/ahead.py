"""Reading in a thread of its own: a pipe that stays open holds up neither the event loop nor a Ctrl-C."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

from checking_core.errors import CheckingError

__all__ = ["batches"]

T = TypeVar("T")


async def batches(source: Iterable[T], size: int) -> AsyncGenerator[list[T], None]:
    """What a source gives, as it comes: at most ``size`` items at a time, fewer where it is slower than we are.

    Close it (``contextlib.aclosing``), so that the thread ends; one that waits for a silent source ends with the
    process.

    Raises:
        CheckingError: the source's own, after everything that came before it.
    """
    ahead = _Ahead(source, 2 * size)
    threading.Thread(target=ahead.read, name="read-ahead", daemon=True).start()
    try:
        while batch := await ahead.next(size):
            yield batch
    finally:
        ahead.stop()


class _Ahead(Generic[T]):
    """The items that are read and not taken yet, at most so many."""

    def __init__(self, source: Iterable[T], most: int) -> None:
        self._source = source
        self._items: deque[T] = deque()
        self._free = threading.Semaphore(most)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._ended = self._stopped = False
        self._problem: BaseException | None = RuntimeError("the reading thread broke off")

    def read(self) -> None:
        """Read to the end, in the thread."""
        try:
            for item in self._source:
                self._free.acquire()
                if self._stopped:
                    return
                self._items.append(item)
                self._tell()
            self._problem = None
        except CheckingError as error:
            self._problem = error
        finally:
            self._ended = True
            self._tell()

    async def next(self, size: int) -> list[T]:
        """What is there, at least one item; nothing at the end."""
        while not self._items:
            if self._ended:
                if self._problem is not None:
                    raise self._problem
                return []
            self._news.clear()  # before looking again: what comes after this wakes us
            if not self._items and not self._ended:
                await self._news.wait()
        batch = [self._items.popleft() for _ in range(min(size, len(self._items)))]
        self._free.release(len(batch))
        return batch

    def stop(self) -> None:
        """Let the thread end as soon as it has its next item."""
        self._stopped = True
        self._free.release()

    def _tell(self) -> None:
        if not self._news.is_set():
            with suppress(RuntimeError):  # the loop has ended before the source did
                self._loop.call_soon_threadsafe(self._news.set)
