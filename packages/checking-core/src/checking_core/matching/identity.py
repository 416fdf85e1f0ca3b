"""What is known of an execution that its traces can be told by. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from checking_core.contracts import DetectionConfig, ExecutionContext
from checking_core.errors import QueryInvalidError
from checking_core.matching.command import Commands
from checking_core.matching.host import HostNames
from checking_core.matching.user import Account
from checking_core.matching.window import Window

__all__ = ["SHORTEST_MARKER", "Identity", "digests_of", "identity_of"]

SHORTEST_MARKER = 8
"""Characters: a shorter one would be found by chance."""

_PLACES = ("host", "account")
_PEOPLE = ("user", "principal")
_DIGEST = re.compile(r"[0-9a-f]{32,128}")


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, seen from its traces. What is empty is not known and ties nothing.

    ``pid`` was its process while that ``lived``. ``agent_pid`` is the red team's own process: what only fires on that
    has not seen the action.
    """

    host: HostNames
    pid: int | None = None
    lived: Window | None = None
    agent_pid: int | None = None
    commands: Commands
    accounts: tuple[Account, ...] = ()
    hashes: frozenset[str] = frozenset()
    marker: str | None = None
    technique: str | None = None


def identity_of(context: ExecutionContext, config: DetectionConfig, lived: Window | None = None) -> Identity:
    """The identity of an execution, as far as it and its expectation tell.

    ``target`` of the configuration replaces the agent's host and user, ``match`` adds to what the execution tells.

    Args:
        context: the execution.
        config: of the check.
        lived: see ``Windows``; ``None`` trusts a process id whenever it is seen.

    Raises:
        QueryInvalidError: the marker is too short to be one.
    """
    target, match = config.target or {}, config.match or {}
    elsewhere, somebody = _texts(target, *_PLACES), _texts(target, *_PEOPLE)
    hosts = elsewhere or [context.agent_host, *context.host_aliases]
    users = somebody if elsewhere or somebody else [context.user or ""]
    pid, agent_pid = (None, None) if elsewhere else _processes(context)
    return Identity(
        host=HostNames.of(
            [*hosts, *_texts(match, "aliases")],
            [*(() if elsewhere else context.addresses), *_texts(match, "addresses")],
        ),
        pid=pid,
        lived=lived,
        agent_pid=agent_pid,
        commands=Commands.of(context.command, context.plaintext_command),
        accounts=_accounts([*users, *_texts(match, "user")]),
        hashes=digests_of(_texts(match, "hashes")),
        marker=_marker(_texts(match, "marker")),
        technique=context.technique_id,
    )


def digests_of(texts: Iterable[str]) -> frozenset[str]:
    """Bare digests: Sysmon writes ``SHA256=...,MD5=...`` into one text."""
    return frozenset(digest for text in texts for digest in _DIGEST.findall(text.casefold()))


def _processes(context: ExecutionContext) -> tuple[int | None, int | None]:
    """The action's process and the agent's. What an agent does within its own process cannot be told from it by id."""
    if context.pid == context.agent_pid:
        return None, None
    return context.pid or None, context.agent_pid or None


def _marker(texts: Iterable[str]) -> str | None:
    marker = next(iter(texts), None)
    if marker is not None and len(marker) < SHORTEST_MARKER:
        raise QueryInvalidError(f"detection_config.match.marker: has fewer than {SHORTEST_MARKER} characters")
    return marker


def _accounts(texts: Iterable[str]) -> tuple[Account, ...]:
    return tuple(account for text in texts if (account := Account.of(text)))


def _texts(told: Mapping[str, Any], *keys: str) -> list[str]:
    """What stands under these keys: a text, or a list of them."""
    values = [told.get(key) for key in keys]
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]
    named = (item for item in flat if isinstance(item, str | int) and not isinstance(item, bool))
    return [text for item in named if (text := str(item).strip())]
