"""What each user of the broker may do: as little as its role needs. Pure.

The broker asks three regular expressions per user, for configuring, writing and reading a queue or exchange, and on a
topic exchange two more, for the routing keys that may be published and bound.
"""

from __future__ import annotations

import re

import msgspec

from checking_core.settings import BrokerRole
from checking_core.transport.topology import Topology

__all__ = ["Permissions", "any_of", "permissions_of"]

_NOTHING = "^$"
_EVERYTHING = ".*"


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Regular expressions over names, those over routing keys of the topic exchange, and the user's tags.

    ``publish`` and ``bind`` are ``None`` for a user whom the exchange does not limit any further.
    """

    configure: str = _NOTHING
    write: str = _NOTHING
    read: str = _NOTHING
    publish: str | None = _NOTHING
    bind: str | None = _NOTHING
    tags: tuple[str, ...] = ()


def permissions_of(role: BrokerRole, topology: Topology) -> Permissions:
    """What a role's user needs in the virtual host of these names, and nothing more.

    The admin may do everything there, and may set policies. A worker creates and binds the lanes that it serves.
    Whoever consumes may write to the dead letters; results and dead letters have the same reader. To ask how a queue
    stands, which is all that the monitor does, takes no right but that to enter.
    """
    return _table(topology)[role]


def _table(names: Topology) -> dict[BrokerRole, Permissions]:
    exchange, dead = names.exchange, names.dead_exchange
    tasks = (names.api_tasks_queue, names.agent_tasks_queue)
    task_keys = (names.api_task_key, names.agent_task_key)
    responses = (names.api_responses_queue, names.agent_responses_queue)
    response_keys = (names.api_response_key, names.agent_response_key)
    return {
        BrokerRole.ADMIN: Permissions(
            configure=_EVERYTHING, write=_EVERYTHING, read=_EVERYTHING, publish=None, bind=None, tags=("policymaker",)
        ),
        BrokerRole.PUBLISHER: Permissions(write=any_of(exchange), publish=any_of(names.execution_result_key)),
        BrokerRole.CONSUMER: Permissions(write=any_of(dead), read=any_of(names.instructions_queue)),
        BrokerRole.DISPATCHER: Permissions(write=any_of(exchange), publish=any_of(*task_keys, lanes_of=task_keys)),
        BrokerRole.WORKER: Permissions(
            configure=any_of(lanes_of=tasks),
            write=any_of(exchange, dead, lanes_of=tasks),
            read=any_of(exchange, *tasks, lanes_of=tasks),
            publish=any_of(*response_keys),
            bind=any_of(lanes_of=task_keys),
        ),
        BrokerRole.RESULT_CONSUMER: Permissions(write=any_of(dead), read=any_of(*responses, names.dead_queue)),
        BrokerRole.MONITOR: Permissions(tags=("monitoring",)),
    }


def any_of(*names: str, lanes_of: tuple[str, ...] = ()) -> str:
    """A regular expression for exactly these names, and for any that goes on behind the dot after one of those."""
    exact = (re.escape(name) for name in names)
    lanes = (rf"{re.escape(name)}\..+" for name in lanes_of)
    return f"^({'|'.join((*exact, *lanes))})$"
