"""Dead letters go back to the queue they came from, once what was wrong with them or with us is put right."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from checking_core.errors import CheckingError, ConfigurationError, NotFoundError
from checking_core.storage import Store
from checking_core.transport.base import Message, Outgoing, Transport
from checking_core.transport.topology import HEADER_FIRST_QUEUE, HEADER_REASON, HEADER_REPLAY_OF, Topology
from checking_server.flow.rows import Row

__all__ = ["Replay"]

log = structlog.get_logger(__name__)


class Replay:
    """Publishes dead letters to the queues they came from, as new messages: their tries count from zero.

    Args:
        store: where the letters are.
        transport: where they go; started when it is needed first.
        topology: its names.
    """

    def __init__(self, store: Store, transport: Transport, topology: Topology) -> None:
        self._store = store
        self._transport = transport
        self._topology = topology

    async def __call__(self, ids: Sequence[UUID]) -> list[CheckingError | None]:
        """Replay letters; in their order ``None``, or why one stays where it is.

        A letter is removed once the broker has confirmed its message. A crash in between replays it twice, which
        changes nothing: whoever takes it knows it by its id.

        Raises:
            StoreUnavailableError: what was published stays, and may be replayed again.
            BrokerUnavailableError: nothing was published.
        """
        await self._transport.start()
        async with self._store.read() as uow:
            letters = await uow.dead_letters.get_batch(ids)
        outcomes: dict[UUID, CheckingError | None] = dict.fromkeys(ids, NotFoundError("there is no such dead letter"))
        items: dict[UUID, Outgoing] = {}
        for key, letter in letters.items():
            if (routing_key := self._topology.key_of(letter["queue"])) is None:
                outcomes[key] = ConfigurationError("it came from no queue of this topology")
            else:
                items[key] = Outgoing(routing_key, _message(letter))
        outcomes.update(zip(items, await self._transport.publish(list(items.values())), strict=True))
        replayed = [key for key, problem in outcomes.items() if problem is None]
        async with self._store.begin() as uow:
            await uow.dead_letters.delete_batch(replayed)
        log.info("replayed", letters=len(replayed), kept=len(ids) - len(replayed))
        return [outcomes[key] for key in ids]


_OF_THE_DEAD = (HEADER_REASON, HEADER_FIRST_QUEUE)


def _message(letter: Row) -> Message:
    headers = {name: text for name, text in (letter["headers"] or {}).items() if name not in _OF_THE_DEAD}
    headers[HEADER_REPLAY_OF] = str(letter["id"])
    return Message(body=letter["body"], message_id=letter["message_id"] or "", headers=headers)
