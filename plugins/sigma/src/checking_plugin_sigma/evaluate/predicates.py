"""Comparisons that no text search can do: numbers, networks, patterns, parts of a time. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from checking_plugin_sigma.events.instant import instant_of
from checking_plugin_sigma.rules.model import Kind, Test

__all__ = ["predicate"]

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")
_COMPARE: dict[Kind, Callable[[float, float], bool]] = {
    Kind.LESS: operator.lt,
    Kind.LESS_OR_EQUAL: operator.le,
    Kind.MORE: operator.gt,
    Kind.MORE_OR_EQUAL: operator.ge,
    Kind.UNEQUAL: operator.ne,
}
_PARTS: dict[Kind, str] = {
    Kind.MINUTE: "%M",
    Kind.HOUR: "%H",
    Kind.DAY: "%d",
    Kind.WEEK: "%V",
    Kind.MONTH: "%m",
    Kind.YEAR: "%Y",
}


@lru_cache(maxsize=8192)
def predicate(test: Test) -> Callable[[str], bool]:
    """The test as a function of one value. A value that is no number, address or time passes none of their tests."""
    if test.kind is Kind.PATTERN:
        pattern = re.compile(test.text, test.flags)
        return lambda value: pattern.search(value) is not None
    if test.kind is Kind.NETWORK:
        return _within(test.text)
    if test.kind in _PARTS:
        return _part(_PARTS[test.kind], int(test.text))
    return _compared(_COMPARE[test.kind], float(test.text))


def _compared(compare: Callable[[float, float], bool], limit: float) -> Callable[[str], bool]:
    return lambda value: _NUMBER.fullmatch(value) is not None and compare(float(value), limit)


def _within(cidr: str) -> Callable[[str], bool]:
    network = ip_network(cidr, strict=False)

    def test(value: str) -> bool:
        try:
            address = ip_address(value.strip().partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) and network.version == 4 else None
        return (mapped or address) in network

    return test


def _part(directive: str, wanted: int) -> Callable[[str], bool]:
    def test(value: str) -> bool:
        told = instant_of(value)
        return told is not None and int(told.moment.strftime(directive)) == wanted

    return test
