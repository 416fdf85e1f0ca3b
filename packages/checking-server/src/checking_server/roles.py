"""The parts that a process may run, and the user of the broker that each of them is."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from enum import StrEnum

from checking_core.errors import ConfigurationError
from checking_core.settings import BrokerRole

__all__ = ["FLOW", "Role", "chosen_roles", "roles_named"]


class Role(StrEnum):
    """A part of the server. Over a broker each may run in a process of its own, and in several."""

    API = "api"
    ACCEPT = "accept"
    DISPATCH = "dispatch"
    GATHER = "gather"
    EXPIRE = "expire"
    WORKER = "worker"

    @property
    def broker_role(self) -> BrokerRole:
        """Whose rights on the broker it has.

        The timer and the API only ask how queues stand. Gather moves the dead letters to their table as well: it is
        the one who brings back what comes out of the flow, whatever became of it.
        """
        return _BROKER_ROLES[self]


FLOW = frozenset({Role.ACCEPT, Role.DISPATCH, Role.GATHER, Role.EXPIRE})
"""The parts that an embedded store allows one process only."""

_BROKER_ROLES = {
    Role.API: BrokerRole.MONITOR,
    Role.ACCEPT: BrokerRole.CONSUMER,
    Role.DISPATCH: BrokerRole.DISPATCHER,
    Role.GATHER: BrokerRole.RESULT_CONSUMER,
    Role.EXPIRE: BrokerRole.MONITOR,
    Role.WORKER: BrokerRole.WORKER,
}


def roles_named(words: Iterable[str]) -> frozenset[Role]:
    """The roles that a person names, in words that may have commas in them.

    Raises:
        ConfigurationError: one is unknown.
    """
    named = [name.strip() for word in words for name in word.split(",") if name.strip()]
    for name in named:
        if name not in _BROKER_ROLES:
            near = get_close_matches(name, Role, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(Role)}"
            raise ConfigurationError(f"--role: {name} is none; {hint}")
    return frozenset(map(Role, named))


def chosen_roles(named: Collection[Role], *, broker: bool) -> frozenset[Role]:
    """The roles of a process: those that were named, else all. Over a broker workers are processes of their own.

    Args:
        named: by the person, if any.
        broker: whether one is configured.

    Raises:
        ConfigurationError: without a broker nothing can be apart but an API that reads.
    """
    if broker:
        return frozenset(named or {*FLOW, Role.API})
    everything = frozenset(Role)
    if not named or set(named) in (everything, {Role.API}):
        return frozenset(named) or everything
    raise ConfigurationError(
        "--role: the parts of the flow run apart over a broker only; set CHECKING_AMQP_URL or RABBITMQ_HOST,"
        " or leave --role out"
    )
