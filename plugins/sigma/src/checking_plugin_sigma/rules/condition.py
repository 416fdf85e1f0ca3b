"""pySigma's parse tree becomes ours.

What cannot be evaluated is refused with the reason in words: a rule is never simplified, and never left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from sigma import types
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.modifiers import SigmaUTF16Modifier
from sigma.rule import SigmaDetection, SigmaRule

from checking_plugin_sigma.rules.model import All, Has, Kind, Missing, Node, Not, Same, Some, Test

__all__ = ["Placeholders", "UnsupportedError", "condition_of"]

Placeholders: TypeAlias = Mapping[str, Sequence[str]]
"""What ``%name%`` stands for in a rule with the modifier ``expand``."""

_COMPARISONS = {
    types.CompareOperators.LT: Kind.LESS,
    types.CompareOperators.LTE: Kind.LESS_OR_EQUAL,
    types.CompareOperators.GT: Kind.MORE,
    types.CompareOperators.GTE: Kind.MORE_OR_EQUAL,
}
_FLAGS = {
    types.SigmaRegularExpressionFlag.IGNORECASE: re.IGNORECASE,
    types.SigmaRegularExpressionFlag.MULTILINE: re.MULTILINE,
    types.SigmaRegularExpressionFlag.DOTALL: re.DOTALL,
}
_MANY, _ONE = types.SpecialChars.WILDCARD_MULTI, types.SpecialChars.WILDCARD_SINGLE
_ANCHORED = {(False, False): Kind.EQUALS, (False, True): Kind.STARTS, (True, False): Kind.ENDS}
_ANCHORED[True, True] = Kind.CONTAINS
_COST = {kind: cost for cost, kind in enumerate(Kind)}


class UnsupportedError(Exception):
    """Why a rule cannot be evaluated."""


def condition_of(rule: SigmaRule, placeholders: Placeholders) -> Node:
    """The condition of a rule; of several, one is enough.

    Raises:
        UnsupportedError: it says something that is not supported.
        SigmaError: it makes no sense.
    """
    for detection in rule.detection.detections.values():
        _refuse_utf16(detection)
    return _some([_node(condition.parsed, placeholders) for condition in rule.detection.parsed_condition])


def _refuse_utf16(detection: SigmaDetection) -> None:
    """The byte order mark comes out of pySigma as that of UTF-8, which is before no text of UTF-16: it never hits."""
    for item in detection.detection_items:
        if isinstance(item, SigmaDetection):
            _refuse_utf16(item)
        elif SigmaUTF16Modifier in item.modifiers:
            raise UnsupportedError("has the modifier utf16, whose byte order mark is in hardly any log; use wide")


def _node(item: Any, placeholders: Placeholders) -> Node:
    match item:
        case ConditionAND():
            return _all([_node(inner, placeholders) for inner in item.args])
        case ConditionOR():
            return _some([_node(inner, placeholders) for inner in item.args])
        case ConditionNOT():
            return Not(_node(item.args[0], placeholders))
        case ConditionFieldEqualsValueExpression():
            return _some([_field(item.field, value) for value in _values(item.value, placeholders)])
        case ConditionValueExpression():
            return _some([_keyword(value) for value in _values(item.value, placeholders)])
        case _:
            raise UnsupportedError("has a condition without any content")


def _all(nodes: Sequence[Node]) -> Node:
    flat = [inner for node in nodes for inner in (node.nodes if isinstance(node, All) else (node,))]
    return flat[0] if len(flat) == 1 else All(tuple(sorted(flat, key=_cost)))


def _some(nodes: Sequence[Node]) -> Node:
    """Alternatives; those that test one field become one node."""
    flat = [inner for node in nodes for inner in (node.nodes if isinstance(node, Some) else (node,))]
    tests: dict[str | None, list[Test]] = {}
    for node in flat:
        if isinstance(node, Has):
            tests.setdefault(node.field, []).extend(node.tests)
    fused: list[Node] = [Has(field, tuple(dict.fromkeys(found))) for field, found in tests.items()]
    fused += [node for node in flat if not isinstance(node, Has)]
    return fused[0] if len(fused) == 1 else Some(tuple(sorted(fused, key=_cost)))


def _cost(node: Node) -> int:
    """Cheap before dear: an ``and`` ends at the first that fails everywhere."""
    match node:
        case Has(None):
            return 100_000
        case Has(_, tests):
            return max(_COST[test.kind] for test in tests) * 100 + len(tests)
        case All(nodes) | Some(nodes):
            return 2_000 + sum(map(_cost, nodes))
        case Not(inner):
            return 5_000 + _cost(inner)
        case _:
            return 1_500


def _values(value: Any, placeholders: Placeholders) -> Iterator[Any]:
    """The value, or the alternatives that a modifier made of it."""
    if isinstance(value, types.SigmaExpansion):
        for inner in value.values:
            yield from _values(inner, placeholders)
    elif isinstance(value, types.SigmaString | types.SigmaRegularExpression) and value.contains_placeholder():
        yield from value.replace_placeholders(_filling(placeholders))
    else:
        yield value


def _filling(placeholders: Placeholders) -> Callable[[Any], Iterator[Any]]:
    def fill(placeholder: Any) -> Iterator[Any]:
        if not placeholders.get(placeholder.name):
            raise UnsupportedError(f"has the placeholder %{placeholder.name}%, for which no values are given")
        yield from placeholders[placeholder.name]

    return fill


def _field(field: str, value: Any) -> Node:
    match value:
        case types.SigmaNull():
            return Missing(field)
        case types.SigmaExists():
            return Not(Missing(field)) if value.exists else Missing(field)
        case types.SigmaFieldReference():
            return Same(field, value.field, _ANCHORED[bool(value.ends_with), bool(value.starts_with)])
        case _:
            return Has(field, (_test(value),))


def _keyword(value: Any) -> Node:
    """A word anywhere in an event: what stands before and behind it does not matter."""
    match value:
        case types.SigmaString():
            return Has(None, (_string(value, anywhere=True),))
        case types.SigmaNumber() if not isinstance(value, types.SigmaTimestampPart):
            return Has(None, (Test(Kind.CONTAINS, str(value)),))
        case types.SigmaRegularExpression():
            return Has(None, (_test(value),))
        case _:
            name = type(value).__name__.removeprefix("Sigma")
            raise UnsupportedError(f"compares with {name} without naming a field")


def _test(value: Any) -> Test:
    match value:
        case types.SigmaString():
            return _string(value, anywhere=False)
        case types.SigmaTimestampPart():
            return Test(Kind[value.timestamp_part.name], str(value.number), cased=True)
        case types.SigmaNumber() | types.SigmaBool():
            return Test(Kind.EQUALS, str(value).lower())
        case types.SigmaRegularExpression():
            flags = sum(_FLAGS[flag] for flag in value.flags)
            return Test(Kind.PATTERN, str(value.regexp), cased=True, flags=int(flags))
        case types.SigmaCIDRExpression():
            return Test(Kind.NETWORK, value.cidr)
        case types.SigmaCompareExpression():
            return Test(_COMPARISONS.get(value.op, Kind.UNEQUAL), str(value.number))
        case _:
            name = type(value).__name__.removeprefix("Sigma")
            raise UnsupportedError(f"compares with {name}, which is not supported")


def _string(value: types.SigmaString, *, anywhere: bool) -> Test:
    cased = isinstance(value, types.SigmaCasedString)
    parts = [part for part in value.s if part != ""]
    before, behind = bool(parts) and parts[0] is _MANY, bool(parts) and parts[-1] is _MANY
    middle = parts[before : len(parts) - behind if len(parts) > 1 or not before else None]
    if not middle and (before or anywhere):
        return Test(Kind.ANY, "")
    before, behind = before or anywhere, behind or anywhere
    if all(isinstance(part, str) for part in middle):
        text = "".join(map(str, middle))
        return Test(_ANCHORED[before, behind], text if cased else text.lower(), cased=cased)
    source = "".join(_pattern_of(part, cased=cased) for part in middle)
    anchored = f"{'' if before else chr(92) + 'A'}{source}{'' if behind else chr(92) + 'Z'}"
    return Test(Kind.PATTERN, anchored, cased=cased, flags=int(re.DOTALL))


def _pattern_of(part: Any, *, cased: bool) -> str:
    if part is _MANY or part is _ONE:
        return ".*" if part is _MANY else "."
    return re.escape(str(part) if cased else str(part).lower())
