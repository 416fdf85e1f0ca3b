"""Columns and bits say the same as looking at one event after the other."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from checking_plugin_sigma.evaluate.column import bits_of, rows_of
from checking_plugin_sigma.events.routing import Logsource
from checking_plugin_sigma.rules.model import All, Has, Kind, Missing, Node, Not, Rule, Some, Test

from .rules_and_events import an_event, lines_hit

LETTERS = "aBÉ\0\n."
VALUES = st.text(LETTERS, max_size=4)
FIELDS = st.sampled_from("XYZ")
KINDS = st.sampled_from([Kind.EQUALS, Kind.STARTS, Kind.ENDS, Kind.CONTAINS, Kind.ANY, Kind.PATTERN])


@st.composite
def comparisons(draw: st.DrawFn) -> Test:
    kind, cased = draw(KINDS), draw(st.booleans())
    text = draw(VALUES.filter(bool) if kind is not Kind.EQUALS else VALUES)
    text = text if cased else text.lower()
    return Test(kind, re.escape(text) if kind is Kind.PATTERN else text, cased)


LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.builds(Has, st.none() | FIELDS, st.lists(comparisons(), min_size=1, max_size=3).map(tuple)),
    st.builds(Missing, FIELDS),
)
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Some, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
RECORDS = st.dictionaries(FIELDS, st.one_of(VALUES, st.lists(VALUES, min_size=1, max_size=2)), max_size=3)


def passes(test: Test, value: str) -> bool:
    value = value if test.cased else value.lower()
    match test.kind:
        case Kind.EQUALS:
            return value == test.text
        case Kind.STARTS:
            return value.startswith(test.text)
        case Kind.ENDS:
            return value.endswith(test.text)
        case Kind.CONTAINS:
            return test.text in value
        case Kind.PATTERN:
            return re.search(test.text, value) is not None
        case _:
            return True


def holds(node: Node, record: dict[str, Any]) -> bool:
    """The meaning of a condition, as simply as it can be written."""
    match node:
        case Has(field, ours):
            texts = [record.get(field)] if field is not None else list(record.values())
            flat = [text for told in texts if told is not None for text in ([told] if isinstance(told, str) else told)]
            return any(passes(test, text) for test in ours for text in flat)
        case Missing(field):
            return field not in record
        case Not(inner):
            return not holds(inner, record)
        case All(nodes):
            return all(holds(inner, record) for inner in nodes)
        case Some(nodes):
            return any(holds(inner, record) for inner in nodes)
    raise AssertionError(node)


@given(NODES, st.lists(RECORDS, max_size=40))
def test_a_condition_means_the_same_for_many_events_as_for_each(node, records):
    rule = Rule(id="x", title="x", digest="", source="x", logsource=Logsource(), condition=node)
    around = {"Channel": "", "EventID": ""}
    events = [an_event({**around, **record}, line) for line, record in enumerate(records)]
    expected = [line for line, record in enumerate(records) if holds(node, {**around, **record})]
    assert lines_hit(rule, *events) == expected


@given(st.sets(st.integers(0, 5000)))
def test_rows_survive_being_bits(rows):
    assert rows_of(bits_of(list(rows))) == sorted(rows)
