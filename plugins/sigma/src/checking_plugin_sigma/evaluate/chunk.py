"""A few thousand events as columns, and rules asked about all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

from checking_plugin_sigma.evaluate.column import Column, bits_of, rows_of
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.routing import Logsource, Route
from checking_plugin_sigma.rules.model import All, Has, Kind, Missing, Node, Not, Rule, Same, Some, Test

__all__ = ["Chunk"]

_NOTHING = Column({})


class Chunk:
    """Events that are asked together.

    Args:
        events: some thousands; all columns are as long.
        wanted: the fields that rules name; ``None`` for all, which rules that search for words need.
    """

    def __init__(self, events: Sequence[Event], wanted: frozenset[str] | None) -> None:
        self._events = events
        self._columns = _columns(events, wanted)
        self._words: dict[Test, int] = {}
        self._served: dict[Logsource, int] = {}
        routes: dict[Route, list[int]] = {}
        for row, event in enumerate(events):
            routes.setdefault(event.route, []).append(row)
        self._routes = {route: bits_of(rows) for route, rows in routes.items()}

    def hits(self, rule: Rule) -> list[Event]:
        """The events that a rule is about and that fulfil its condition, in their order."""
        return [self._events[row] for row in self.rows(rule)]

    def rows(self, rule: Rule) -> list[int]:
        """The numbers of those events."""
        mask = self.about(rule.logsource)
        return rows_of(self._where(rule.condition, mask)) if mask else []

    def about(self, wanted: Logsource) -> int:
        """The rows of a log source, as bits."""
        known = self._served.get(wanted)
        if known is None:
            known = 0
            for route, bits in self._routes.items():
                known |= bits if route.serves(wanted) else 0
            self._served[wanted] = known
        return known

    def _where(self, node: Node, mask: int) -> int:
        """Those rows of the mask for which the node holds."""
        if isinstance(node, Has):
            return self._having(node, mask)
        if isinstance(node, All):
            for inner in node.nodes:
                mask = self._where(inner, mask)
                if not mask:
                    break
            return mask
        if isinstance(node, Some):
            found = 0
            for inner in node.nodes:
                found |= self._where(inner, mask & ~found)
            return found
        if isinstance(node, Not):
            return mask & ~self._where(node.node, mask)
        if isinstance(node, Missing):
            return mask & ~self._columns.get(node.field, _NOTHING).present
        return bits_of([row for row in rows_of(mask) if _is_same(self._events[row], node)])

    def _having(self, node: Has, mask: int) -> int:
        if node.field is not None:
            column = self._columns.get(node.field)
            return 0 if column is None else column.where(node.tests) & mask
        found = 0
        for test in node.tests:
            found |= self._holding(test)
        return found & mask

    def _holding(self, word: Test) -> int:
        """The rows that have a word in any field."""
        known = self._words.get(word)
        if known is None:
            known = 0
            for column in self._columns.values():
                known |= column.where((word,))
            self._words[word] = known
        return known


def _columns(events: Sequence[Event], wanted: frozenset[str] | None) -> dict[str, Column]:
    """The columns by name. The loop that costs most of all: it touches every value of every event."""
    values: dict[str, dict[str, list[int]]] = {} if wanted is None else {name: {} for name in wanted}
    for row, event in enumerate(events):
        for name, value in event.fields.items():
            column = values.get(name)
            if column is None:
                if wanted is not None:
                    continue
                column = values[name] = {}
            if type(value) is str:
                rows = column.get(value)
                if rows is None:
                    column[value] = [row]
                else:
                    rows.append(row)
            else:
                for text in value:
                    column.setdefault(text, []).append(row)
    return {name: Column(column) for name, column in values.items() if column}


def _is_same(event: Event, node: Same) -> bool:
    """Whether any value of one field relates so to any value of the other."""
    ours, theirs = (_texts(event, name, cased=node.cased) for name in (node.field, node.other))
    return any(_relates(one, other, node.kind) for one in ours for other in theirs)


def _texts(event: Event, name: str, *, cased: bool) -> Sequence[str]:
    value = event.fields.get(name, ())
    texts = (value,) if isinstance(value, str) else value
    return texts if cased else [text.lower() for text in texts]


def _relates(one: str, other: str, kind: Kind) -> bool:
    if kind is Kind.STARTS:
        return one.startswith(other)
    if kind is Kind.ENDS:
        return one.endswith(other)
    return other in one if kind is Kind.CONTAINS else one == other
