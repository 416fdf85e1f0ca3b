"""Dead letters leave the broker for a table, where people can read, replay and delete them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

from checking_core.contracts.text import clean
from checking_core.storage import Store
from checking_core.transport.base import Message
from checking_core.transport.topology import HEADER_FIRST_QUEUE, HEADER_REASON, HEADER_REPLAY_OF

__all__ = ["Bury"]

_LETTERS = UUID("5d2f5c0e-4f0a-5d3c-9f7e-0c8b7a6e1d42")


class Bury:
    """Stores dead letters, ours and the broker's own, with their reason and the queue they came from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(self, messages: Sequence[Message]) -> Sequence[None]:
        """Keep them, each once however often it is delivered. Raises ``StoreUnavailableError``."""
        async with self._store.begin() as uow:
            await uow.dead_letters.add_batch([_letter(message) for message in messages])
        return [None] * len(messages)


def _letter(message: Message) -> dict[str, object]:
    headers = clean(message.headers)
    queue, message_id = headers.get(HEADER_FIRST_QUEUE, ""), clean(message.message_id)
    return {
        "id": _id(queue, message_id, headers, message.body),
        "queue": queue[:255],
        "message_id": message_id[:255],
        "reason": headers.get(HEADER_REASON, "unknown"),
        "headers": headers,
        "body": message.body,
    }


def _id(queue: str, message_id: str, headers: Mapping[str, str], body: bytes) -> UUID:
    """Derived, so that a second delivery is known; a message that was replayed and failed again is another letter."""
    parts = (queue, message_id, headers.get(HEADER_REPLAY_OF, ""), hashlib.sha256(body).hexdigest())
    return uuid5(_LETTERS, "\0".join(parts))
