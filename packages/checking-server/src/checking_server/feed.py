"""Red-team messages from a file or stream into accept, batch by batch, counted by what they changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from uuid import UUID

from checking_core.errors import RejectedMessageError, UnavailableError
from checking_core.transport.base import Message
from checking_server.flow.accept import Accept, Accepted, Change
from checking_server.readers.ahead import batches
from checking_server.readers.files import RawMessage

__all__ = ["Feed"]


class Feed:
    """What became of the messages so far.

    Args:
        accept: the station.
        batch_size: messages of one transaction.
    """

    def __init__(self, accept: Accept, batch_size: int) -> None:
        self._accept = accept
        self._batch_size = batch_size
        self.changes: Counter[Change] = Counter()
        self.rejected: list[str] = []
        self.operations: dict[UUID, None] = {}

    async def take(self, messages: Iterable[RawMessage], *, tell: Callable[[int], None] = lambda _: None) -> None:
        """Accept everything as it comes; a rejection is kept as ``origin: field: problem``.

        Args:
            messages: as read; waited for in a thread, so they may come from a pipe that stays open.
            tell: called with the number of messages taken since the last call.

        Raises:
            UnavailableError: says how much was stored before; the same messages again change nothing.
        """
        async with aclosing(batches(messages, self._batch_size)) as taking:
            async for batch in taking:
                await self._take_batch(batch)
                tell(len(batch))

    async def _take_batch(self, batch: Sequence[RawMessage]) -> None:
        try:
            answers = await self._accept([Message(body=raw.body, message_id=raw.origin) for raw in batch])
        except UnavailableError as error:
            raise type(error)(f"{error}. {self.summary()} Run it again: nothing is counted twice") from error
        for raw, answer in zip(batch, answers, strict=True):
            self._count(raw, answer)

    def summary(self) -> str:
        """One line: new, revised, repeated, rejected."""
        counts = ", ".join(f"{self.changes[change]} {change}" for change in Change)
        return f"Messages: {counts}, {len(self.rejected)} rejected."

    def _count(self, raw: RawMessage, answer: Accepted | RejectedMessageError) -> None:
        if isinstance(answer, RejectedMessageError):
            self.rejected.append(f"{raw.origin}: {answer}")
        else:
            self.changes[answer.change] += 1
            self.operations[answer.operation_id] = None
