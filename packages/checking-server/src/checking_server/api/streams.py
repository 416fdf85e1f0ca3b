"""Changes on their way to those who follow them: a buffer for each, which forgets the oldest before it grows."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from checking_core.storage.notices import Notice

__all__ = ["Lost", "Numbered", "Stream", "Streams", "Told"]

_BUFFERED = 1_000
_KEPT = 1_000
_MOST = 100


class Numbered(NamedTuple):
    """A change, by a ``number`` that this process gave it."""

    number: int
    notice: Notice


class Lost(msgspec.Struct, frozen=True):
    """So many changes were not told, or nobody knows how many: read again what matters."""

    count: int | None


Told: TypeAlias = Numbered | Lost


class Stream:
    """What one reader has not read yet.

    Args:
        operation_id: of this operation alone, if there is one.
        buffered: events that wait for the reader; beyond, the oldest are lost.
    """

    def __init__(self, operation_id: UUID | None, buffered: int) -> None:
        self._operation_id = operation_id
        self._waiting: deque[Numbered] = deque()
        self._buffered = buffered
        self._lost: int | None = 0
        self._moved = asyncio.Event()
        self._ended = False

    def put(self, events: Iterable[Numbered]) -> None:
        """Keep those that concern the reader."""
        wanted = self._operation_id
        self._waiting += [event for event in events if wanted is None or event.notice.operation_id == wanted]
        while len(self._waiting) > self._buffered:
            self._waiting.popleft()
            if self._lost is not None:
                self._lost += 1
        self._moved.set()

    def miss(self) -> None:
        """Some were missed, nobody knows how many."""
        self._lost = None
        self._moved.set()

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True
        self._moved.set()

    async def next(self, seconds: float) -> Sequence[Told] | None:
        """What waits, or comes within so many seconds, which may be nothing; ``None`` at the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        if self._ended:
            return None
        self._moved.clear()
        lost, self._lost = self._lost, 0
        waiting, self._waiting = self._waiting, deque()
        return [*([] if lost == 0 else [Lost(lost)]), *waiting]


class Streams:
    """The streams of this process, and the last events for those who come back.

    Args:
        buffered: events that wait for one reader.
        kept: events that a reader who comes back may have missed.
        most: streams that may be open.
    """

    def __init__(self, *, buffered: int = _BUFFERED, kept: int = _KEPT, most: int = _MOST) -> None:
        self._buffered = buffered
        self._most = most
        self._kept: deque[Numbered] = deque(maxlen=kept)
        self._open: set[Stream] = set()
        self._number = 0
        self._closed = False
        self._since = secrets.token_hex(4)

    @property
    def readers(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether as many are open as this process carries."""
        return len(self._open) >= self._most

    def tell(self, notices: Sequence[Notice]) -> None:
        """Something has changed."""
        events = [Numbered(number, notice) for number, notice in enumerate(notices, self._number + 1)]
        self._number += len(events)
        self._kept += events
        for stream in self._open:
            stream.put(events)

    def gap(self) -> None:
        """Something may have changed meanwhile: nobody who read before it can go on as if nothing had."""
        self._kept.clear()
        self._since = secrets.token_hex(4)
        for stream in self._open:
            stream.miss()

    @contextmanager
    def opened(self, operation_id: UUID | None = None, *, after: str | None = None) -> Iterator[Stream]:
        """A stream while the block runs.

        Args:
            operation_id: of this operation alone.
            after: the place of the last event that the reader has read; see ``place``.
        """
        stream = Stream(operation_id, self._buffered)
        if after is not None:
            self._resume(stream, after)
        if self._closed:
            stream.end()
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def place(self, number: int | None = None) -> str:
        """How a reader names the place behind an event, or behind the last one, when they come back."""
        return f"{self._since}-{self._number if number is None else number}"

    def close(self) -> None:
        """End every stream, and those that are opened from now on."""
        self._closed = True
        for stream in self._open:
            stream.end()

    def _resume(self, stream: Stream, after: str) -> None:
        since, _, text = after.partition("-")
        number = int(text) if text.isdecimal() and len(text) < 20 else -1
        oldest = self._number - len(self._kept)
        if since == self._since and oldest <= number <= self._number:
            stream.put([event for event in self._kept if event.number > number])
        else:
            stream.miss()
