"""Finding the one item that spoils a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from checking_core.errors import RejectedMessageError, StoreRejectedError

__all__ = ["bisected"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def bisected(
    work: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]], items: Sequence[Item]
) -> list[Answer | RejectedMessageError]:
    """Do the work on all items; when the store refuses the batch for its data, on its halves.

    Returns:
        The work's answers in the order of the items, and for each culprit a rejection.

    Raises:
        StoreUnavailableError: whatever part was done stays done, so the work must be idempotent.
    """
    try:
        return list(await work(items))
    except StoreRejectedError as error:
        if len(items) == 1:
            return [RejectedMessageError("$", str(error))]
        middle = len(items) // 2
        return [*await bisected(work, items[:middle]), *await bisected(work, items[middle:])]
