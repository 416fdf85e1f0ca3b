"""A Sigma rule as plain data: who wrote it, which events it is about, and its condition as a tree.

Nothing in here knows pySigma: a rule that was compiled once is loaded again without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from checking_plugin_sigma.events.routing import Logsource

__all__ = ["ANY", "All", "Has", "Kind", "Missing", "Node", "Not", "Refused", "Rule", "RuleSet", "Same", "Some", "Test"]

ANY = "any event"
"""The category of a bare query: Sigma has no word for every log source."""


class Kind(StrEnum):
    """How a value is compared."""

    EQUALS = "equals"
    STARTS = "starts"
    ENDS = "ends"
    CONTAINS = "contains"
    ANY = "any"
    PATTERN = "pattern"
    NETWORK = "network"
    LESS = "less"
    LESS_OR_EQUAL = "less_or_equal"
    MORE = "more"
    MORE_OR_EQUAL = "more_or_equal"
    UNEQUAL = "unequal"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Test(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One comparison. ``text`` is lower case unless ``cased``; of a pattern it is the source, with ``flags``."""

    __test__ = False

    kind: Kind
    text: str
    cased: bool = False
    flags: int = 0


class Has(msgspec.Struct, frozen=True, tag="has"):
    """A field has a value that passes one of the tests; without a field: any field has."""

    field: str | None
    tests: tuple[Test, ...]


class Missing(msgspec.Struct, frozen=True, tag="missing"):
    """The event does not have the field."""

    field: str


class Same(msgspec.Struct, frozen=True, tag="same"):
    """A field equals, starts with, ends with or contains what another field of the event holds."""

    field: str
    other: str
    kind: Kind = Kind.EQUALS
    cased: bool = False


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The node does not hold. An event without the field fulfils the negation of every comparison with it."""

    node: Node


class All(msgspec.Struct, frozen=True, tag="all"):
    """Every node holds; the cheapest stands first."""

    nodes: tuple[Node, ...]


class Some(msgspec.Struct, frozen=True, tag="some"):
    """At least one node holds."""

    nodes: tuple[Node, ...]


Node: TypeAlias = Has | Missing | Same | Not | All | Some


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that can be evaluated.

    ``digest`` is the SHA-256 of the document it was written in, ``source`` the name of that file. ``author`` and
    ``licence`` go wherever a match is shown: the licence of most public rules asks for it.
    """

    id: str
    title: str
    author: str | None = None
    licence: str | None = None
    level: str | None = None
    status: str | None = None
    tags: tuple[str, ...] = ()
    digest: str
    source: str
    logsource: Logsource
    condition: Node

    @property
    def techniques(self) -> tuple[str, ...]:
        """The ATT&CK techniques it is tagged with."""
        return _techniques(self.tags)

    @property
    def about(self) -> str:
        """Which events it is about, in words."""
        told = ", ".join(f"{name} {value}" for name, value in self.logsource._asdict().items() if value)
        return told or "any event"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it names, each once, as they come in the condition."""
        return tuple(dict.fromkeys(_fields(self.condition)))

    @property
    def reads_everything(self) -> bool:
        """Whether it looks for words in any field."""
        return any(isinstance(node, Has) and node.field is None for node in _nodes(self.condition))


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that is not evaluated, and why."""

    source: str
    problem: str
    title: str = ""
    id: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def techniques(self) -> tuple[str, ...]:
        """The ATT&CK techniques it is tagged with."""
        return _techniques(self.tags)


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that were given: none is ever missing from both lists."""

    rules: tuple[Rule, ...] = ()
    refused: tuple[Refused, ...] = ()

    def __add__(self, other: RuleSet) -> RuleSet:
        return RuleSet(rules=self.rules + other.rules, refused=self.refused + other.refused)

    @property
    def given(self) -> int:
        """How many rules there were."""
        return len(self.rules) + len(self.refused)


def _techniques(tags: Sequence[str]) -> tuple[str, ...]:
    names = (tag.removeprefix("attack.").upper() for tag in tags if tag.startswith("attack.t"))
    return tuple(name for name in names if name[1:5].isdigit())


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    match node:
        case All(nodes) | Some(nodes):
            for inner in nodes:
                yield from _nodes(inner)
        case Not(inner):
            yield from _nodes(inner)


def _fields(condition: Node) -> Iterator[str]:
    for node in _nodes(condition):
        match node:
            case Has(str() as field) | Missing(field):
                yield field
            case Same(field, other):
                yield from (field, other)
