"""Dead letters leave the broker for a table, where people can read, replay and delete them."""

from __future__ import annotations

from collections.abc import Sequence

from checking_core.contracts.text import clean
from checking_core.storage import Store
from checking_core.transport.base import Message
from checking_core.transport.topology import HEADER_FIRST_QUEUE, HEADER_REASON

__all__ = ["Bury"]


class Bury:
    """Stores dead letters with their reason and the queue they came from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, messages: Sequence[Message]) -> Sequence[None]:
        """Keep them. Raises ``StoreUnavailableError``."""
        async with self._store.begin() as uow:
            await uow.dead_letters.add_batch([_letter(message) for message in messages])
        return [None] * len(messages)


def _letter(message: Message) -> dict[str, object]:
    headers = clean(message.headers)
    return {
        "queue": headers.get(HEADER_FIRST_QUEUE, "")[:255],
        "message_id": clean(message.message_id)[:255],
        "reason": headers.get(HEADER_REASON, "unknown"),
        "headers": headers,
        "body": message.body,
    }
