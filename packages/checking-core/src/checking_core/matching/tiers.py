"""How firmly a record belongs to an execution: the tiers of evidence, best first. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from checking_core.contracts import MatchTier
from checking_core.contracts.technique import kinship
from checking_core.matching.host import Place
from checking_core.matching.identity import Identity
from checking_core.matching.record import Record
from checking_core.matching.user import Account

__all__ = ["RANK", "Tie", "is_of_agent", "place_of", "tie"]

RANK = {tier: rank for rank, tier in enumerate(MatchTier)}
"""Lower is firmer."""

_MOST_TEXTS = 2000
_HASH = re.compile(r"[0-9a-f]{32,128}")


class Tie(NamedTuple):
    """The best tier that holds, and the names of the record's fields that make it."""

    tier: MatchTier
    fields: tuple[str, ...]


def tie(identity: Identity, record: Record, place: Place, *, named: bool) -> Tie | None:
    """What ties a record to an execution whose host is not another one.

    Args:
        identity: the execution's.
        record: a candidate.
        place: where it happened; not ``Place.OTHER``, unless the marker decides.
        named: whether the question names the detection that this record is of.

    Returns:
        ``None`` when nothing does: an address alone, which many hosts share, or an unknown host.
    """
    if identity.marker is not None and _holds(record, identity.marker):
        return Tie(MatchTier.MARKER, ("marker",))
    if place in (Place.OTHER, Place.UNKNOWN):
        return None
    where = ("host",) if place is Place.SAME else ("addresses",)
    for tier, test in _TESTS:
        if fields := test(identity, record):
            return Tie(tier, (*where, *fields))
    if named:
        return Tie(MatchTier.NAMED_RULE, (*where, "rule"))
    if any(kinship(found, identity.technique) for found in record.techniques if identity.technique):
        return Tie(MatchTier.TECHNIQUE, (*where, "techniques"))
    return Tie(MatchTier.HOST, where) if place is Place.SAME else None


def place_of(identity: Identity, record: Record, *, scoped: bool) -> Place:
    """Where a record happened; one that does not say so, but answers a search of that host only, happened there."""
    place = identity.host.place_of(record.hosts, record.addresses)
    return Place.SAME if scoped and place in (Place.UNKNOWN, Place.ADDRESS) else place


def is_of_agent(identity: Identity, record: Record) -> bool:
    """Whether it speaks of the red team's own process rather than of what that has started."""
    return record.pid is not None and record.pid == identity.agent_pid


def _process(identity: Identity, record: Record) -> tuple[str, ...]:
    if identity.pid is None:
        return ()
    if record.pid == identity.pid:
        return ("pid",)
    return ("ancestors",) if identity.pid in record.ancestors else ()


def _artefacts(identity: Identity, record: Record) -> tuple[str, ...]:
    """Command line, hash or user. A user does many things: one that was seen doing another one ties nothing."""
    command = any(identity.commands.same_as(text) for text in record.commands)
    user = not record.commands and _same_user(identity.accounts, record.users)
    found = {"commands": command, "hashes": bool(identity.hashes & _hashes(record)), "users": user}
    return tuple(name for name, holds in found.items() if holds)


_TESTS: tuple[tuple[MatchTier, Callable[[Identity, Record], tuple[str, ...]]], ...] = (
    (MatchTier.PROCESS, _process),
    (MatchTier.ARTEFACT, _artefacts),
)


def _same_user(accounts: Iterable[Account], texts: Iterable[str]) -> bool:
    others = [other for text in texts if (other := Account.of(text))]
    return any(account.same_as(other) for account in accounts for other in others)


def _hashes(record: Record) -> frozenset[str]:
    """Bare digests: Sysmon writes ``SHA256=...,MD5=...`` into one text."""
    return frozenset(digest for text in record.hashes for digest in _HASH.findall(text.casefold()))


def _holds(record: Record, marker: str) -> bool:
    return any(marker in text for text in _texts(record))


def _texts(record: Record) -> Iterator[str]:
    yield from (record.title, *record.commands)
    rest: list[Any] = [record.fields]
    for _ in range(_MOST_TEXTS):
        if not rest:
            return
        match rest.pop():
            case str() as text:
                yield text
            case Mapping() as mapping:
                rest.extend(mapping.values())
            case list() | tuple() as items:
                rest.extend(items)
