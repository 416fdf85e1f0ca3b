"""How firmly a record belongs to an execution: the tiers of evidence, best first. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from checking_core.contracts import MatchTier
from checking_core.contracts.technique import Kinship, kinship
from checking_core.matching.host import Place
from checking_core.matching.identity import Identity, digests_of
from checking_core.matching.question import Question
from checking_core.matching.record import Record, told
from checking_core.matching.user import Account

__all__ = ["RANK", "Tie", "is_of_agent", "place_of", "tie"]

RANK = {tier: rank for rank, tier in enumerate(MatchTier)}
"""Lower is firmer."""

_MOST_TEXTS = 2000


_FIRM = (MatchTier.MARKER, MatchTier.PROCESS, MatchTier.ARTEFACT)


class Tie(NamedTuple):
    """The best tier that holds, and the names of the record's fields that make it.

    ``afterwards``: it is tied by a process id at a time when that may be somebody else's.
    """

    tier: MatchTier
    fields: tuple[str, ...]
    afterwards: bool = False

    @property
    def firm(self) -> bool:
        """Whether the same does not happen without the execution."""
        return self.tier in _FIRM and not self.afterwards


def tie(identity: Identity, record: Record, place: Place, question: Question) -> Tie | None:
    """What ties a record to an execution.

    Args:
        identity: the execution's.
        record: a candidate.
        place: where it happened; anywhere but on the execution's host only the marker ties it.
        question: may name the detection that this record is of, or the technique.

    Returns:
        ``None`` when nothing does: an address alone, which many hosts share, or an unknown host.
    """
    if identity.marker is not None and _holds(record, identity.marker):
        return Tie(MatchTier.MARKER, ("marker",))
    if place in (Place.OTHER, Place.UNKNOWN):
        return None
    where = ("host",) if place is Place.SAME else ("addresses",)
    for tier, fields_of in _TESTS:
        if fields := fields_of(identity, record, question):
            return Tie(tier, (*where, *fields), _is_afterwards(identity, record, fields))
    return Tie(MatchTier.HOST, where) if place is Place.SAME else None


def place_of(identity: Identity, record: Record, *, scoped: bool) -> Place:
    """Where a record happened; one that does not say so, but answers a search of that host only, happened there."""
    place = identity.host.place_of(record.hosts, record.addresses)
    return Place.SAME if scoped and place is not Place.OTHER else place


def is_of_agent(identity: Identity, record: Record) -> bool:
    """Whether it speaks of the red team's own process rather than of what that has started."""
    return record.pid is not None and record.pid == identity.agent_pid


def _process(identity: Identity, record: Record, _: Question) -> tuple[str, ...]:
    """The execution's process or one below it. Once it has ended, its id may be given to another."""
    if identity.pid is None:
        return ()
    if record.pid == identity.pid and _while_it_lived(identity, record):
        return ("pid",)
    return ("ancestors",) if identity.pid in record.ancestors else ()


def _is_afterwards(identity: Identity, record: Record, fields: tuple[str, ...]) -> bool:
    """What the execution has started may go on after it; but by then another process may have got its id."""
    return fields == ("ancestors",) and not _while_it_lived(identity, record)


def _while_it_lived(identity: Identity, record: Record) -> bool:
    if identity.lived is None or record.event_at is None:
        return True
    return identity.lived.holds(record.event_at, record.event_until)


def _artefacts(identity: Identity, record: Record, _: Question) -> tuple[str, ...]:
    """Command line, hash or user. A user does many things: one that was seen doing another one ties nothing."""
    command = any(identity.commands.same_as(text) for text in record.commands)
    user = not told(*record.commands) and _same_user(identity.accounts, record.users)
    found = {"commands": command, "hashes": bool(identity.hashes & digests_of(record.hashes)), "users": user}
    return tuple(name for name, holds in found.items() if holds)


def _rule(_: Identity, __: Record, question: Question) -> tuple[str, ...]:
    return ("rule",) if question.named else ()


def _technique(identity: Identity, record: Record, question: Question) -> tuple[str, ...]:
    """The technique asked for, or else the execution's; one of the same family is told apart."""
    wanted = question.techniques or (identity.technique or "",)
    closest = max((kinship(ours, theirs) for ours in wanted for theirs in record.techniques), default=Kinship.NONE)
    return _KINSHIP[closest]


_KINSHIP: Mapping[Kinship, tuple[str, ...]] = {
    Kinship.SAME: ("techniques",),
    Kinship.FAMILY: ("technique_family",),
    Kinship.NONE: (),
}

_TESTS: tuple[tuple[MatchTier, Callable[[Identity, Record, Question], tuple[str, ...]]], ...] = (
    (MatchTier.PROCESS, _process),
    (MatchTier.ARTEFACT, _artefacts),
    (MatchTier.NAMED_RULE, _rule),
    (MatchTier.TECHNIQUE, _technique),
)
"""What makes each tier, best first."""


def _same_user(accounts: Iterable[Account], texts: Iterable[str]) -> bool:
    others = [other for text in texts if (other := Account.of(text))]
    return any(account.same_as(other) for account in accounts for other in others)


def _holds(record: Record, marker: str) -> bool:
    """Whether the marker stands somewhere by itself: ``run-0001`` is not in ``run-00012``."""
    alone = re.compile(rf"(?<![^\W_]){re.escape(marker)}(?![^\W_])", re.IGNORECASE)
    return any(alone.search(text) for text in _texts(record))


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
