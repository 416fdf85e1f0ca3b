"""What is known of an execution that its traces can be told by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from checking_core.contracts import DetectionConfig, ExecutionContext
from checking_core.errors import QueryInvalidError
from checking_core.matching.command import Commands
from checking_core.matching.host import HostNames
from checking_core.matching.user import Account

__all__ = ["SHORTEST_MARKER", "Identity", "identity_of"]

SHORTEST_MARKER = 8
"""Characters: a shorter one would be found by chance."""

_PLACES = ("host", "account")
_PEOPLE = ("user", "principal")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, seen from its traces. What is empty is not known and ties nothing.

    ``agent_pid`` is the red team's own process: what only fires on that has not seen the action.
    """

    host: HostNames
    pid: int | None = None
    agent_pid: int | None = None
    commands: Commands
    accounts: tuple[Account, ...] = ()
    hashes: frozenset[str] = frozenset()
    marker: str | None = None
    technique: str | None = None


def identity_of(context: ExecutionContext, config: DetectionConfig) -> Identity:
    """The identity of an execution, as far as it and its expectation tell.

    ``target`` of the configuration replaces the agent's host and user, ``match`` adds to what the execution tells.

    Raises:
        QueryInvalidError: the marker is too short to be one.
    """
    target, match = config.target or {}, config.match or {}
    hosts = _texts(target, *_PLACES) if target else [context.agent_host, *context.host_aliases]
    users = _texts(target, *_PEOPLE) if target else [context.user or ""]
    addresses = () if target else context.addresses
    marker = next(iter(_texts(match, "marker")), None)
    if marker is not None and len(marker) < SHORTEST_MARKER:
        raise QueryInvalidError(f"detection_config.match.marker: has fewer than {SHORTEST_MARKER} characters")
    return Identity(
        host=HostNames.of([*hosts, *_texts(match, "aliases")], [*addresses, *_texts(match, "addresses")]),
        pid=context.pid if context.pid and context.pid != context.agent_pid else None,
        agent_pid=context.agent_pid,
        commands=Commands.of(context.command, context.plaintext_command),
        accounts=_accounts([*users, *_texts(match, "user")]),
        hashes=frozenset(text.casefold() for text in _texts(match, "hashes")),
        marker=marker,
        technique=context.technique_id,
    )


def _accounts(texts: Iterable[str]) -> tuple[Account, ...]:
    return tuple(account for text in texts if (account := Account.of(text)))


def _texts(told: Mapping[str, Any], *keys: str) -> list[str]:
    """What stands under these keys: a text, or a list of them."""
    values = [told.get(key) for key in keys]
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    return [str(item) for item in flat if isinstance(item, str | int) and str(item).strip()]
