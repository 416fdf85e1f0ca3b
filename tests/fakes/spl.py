"""Searches in SPL, read and evaluated: what converted rules and checks of tests are written in, and no more.

Sources: the Search Reference of Splunk, ``search``, ``where``, ``head``, ``regex``; "Difference between NOT and !=";
"Expressions and predicates". In ``search`` NOT binds before OR and OR before AND, ``*`` stands for any text, the case
does not matter, and ``field!=x`` wants the field to be there. In ``where`` AND binds before OR and a text is itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote

__all__ = ["UnreadableError", "condition_of", "rows_of"]

Row = Mapping[str, Any]
Test = Callable[[Row], bool]

_TOKENS = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>!=|<=|>=|::|==|[=<>(),|])|(?P<word>[^\s"=<>!(),|]+))""", re.DOTALL
)
_RESERVED = frozenset({"AND", "OR", "NOT", "IN", ")", "|", ",", "=", "!=", "<", ">", "<=", ">=", "::", "=="})


class UnreadableError(ValueError):
    """Splunk would refuse it, or this fake cannot read it: no test may pass by what was not understood."""


def rows_of(search: str, indexes: Mapping[str, Sequence[Row]], allowed: Callable[[Row], bool]) -> list[Row]:
    """The rows of a search.

    Args:
        search: as a job was created with.
        indexes: the events of each.
        allowed: whether an event lies in the time of the search.

    Raises:
        UnreadableError: see there.
    """
    reader = _Reader(search)
    if reader.next_is("|"):
        rows = _counted(reader, indexes)
    else:
        reader.expect("search")
        rows = [row for name in indexes for row in indexes[name] if allowed(row)]
        rows = list(filter(reader.condition(), rows))
    while not reader.at_end:
        reader.expect("|")
        rows = _piped(reader, rows)
    return rows


def condition_of(search: str) -> Test:
    """Whether an event meets a condition of ``search``.

    Raises:
        UnreadableError: see there.
    """
    reader = _Reader(search)
    condition = reader.condition()
    if not reader.at_end:
        raise UnreadableError(f"Unknown search command {reader.take()!r}.")
    return condition


def _counted(reader: _Reader, indexes: Mapping[str, Sequence[Row]]) -> list[Row]:
    """``| eventcount summarize=false index=...``: a row for each index that there is."""
    for word in ("eventcount", "summarize", "=", "false", "index", "="):
        reader.expect(word)
    shape = _shape(_plain(reader.take()))
    return [{"index": name, "count": str(len(indexes[name]))} for name in indexes if shape.fullmatch(name)]


def _piped(reader: _Reader, rows: list[Row]) -> list[Row]:
    match reader.take():
        case "head":
            return rows[: int(reader.take())]
        case "where":
            return list(filter(reader.expression(), rows))
        case "search":
            return list(filter(reader.condition(), rows))
    raise UnreadableError("Unknown search command")


class _Reader:
    """Recursive descent, one method for each precedence."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._tokens)

    def take(self) -> str:
        if self.at_end:
            raise UnreadableError("Error in 'search' command: Unable to parse the search: unexpected end.")
        self._at += 1
        return self._tokens[self._at - 1]

    def next_is(self, *tokens: str) -> bool:
        found = not self.at_end and self._tokens[self._at] in tokens
        self._at += found
        return found

    def expect(self, token: str) -> None:
        if (found := self.take()) != token:
            raise UnreadableError(f"Error in 'search' command: Unable to parse the search: {found!r}.")

    def condition(self) -> Test:
        """Of ``search``: parts side by side have to hold all."""
        tests = [self._either()]
        while not self.at_end and self._tokens[self._at] not in ("|", ")"):
            self.next_is("AND")
            tests.append(self._either())
        return lambda row: all(test(row) for test in tests)

    def _either(self) -> Test:
        tests = [self._single()]
        while self.next_is("OR"):
            tests.append(self._single())
        return lambda row: any(test(row) for test in tests)

    def _single(self) -> Test:
        if self.next_is("NOT"):
            denied = self._single()
            return lambda row: not denied(row)
        if self.next_is("("):
            within = self.condition()
            self.expect(")")
            return within
        field = self.take()
        if field in _RESERVED:
            raise UnreadableError(f"Error in 'search' command: Unable to parse the search: {field!r}.")
        if self.next_is("=", "::"):
            return _like(_plain(field), _plain(self.take()))
        if self.next_is("!="):
            like = _like(_plain(field), _plain(self.take()))
            return lambda row: bool(_texts(row, _plain(field))) and not like(row)
        if self.next_is("IN"):
            likes = [_like(_plain(field), value) for value in self._list()]
            return lambda row: any(like(row) for like in likes)
        for sign, holds in _ORDER.items():
            if self.next_is(sign):
                bound = float(_plain(self.take()))
                return lambda row, holds=holds: any(holds(float(text), bound) for text in _texts(row, _plain(field)))
        shape = re.compile(f"(?<![^\\W_]){_shape(_plain(field)).pattern}(?![^\\W_])", re.IGNORECASE | re.DOTALL)
        return lambda row: any(shape.search(str(text)) for text in row.values())

    def expression(self) -> Test:
        """Of ``where``: OR, which binds last."""
        tests = [self._every()]
        while self.next_is("OR", "or"):
            tests.append(self._every())
        return lambda row: any(test(row) for test in tests)

    def _every(self) -> Test:
        tests = [self._compared()]
        while self.next_is("AND", "and"):
            tests.append(self._compared())
        return lambda row: all(test(row) for test in tests)

    def _compared(self) -> Test:
        if self.next_is("("):
            within = self.expression()
            self.expect(")")
            return within
        field = self.take()
        if self.next_is("IN", "in"):
            values = self._list()
            return lambda row: any(text in values for text in _texts(row, field))
        if not self.next_is("=", "=="):
            raise UnreadableError("Error in 'where' command: The expression is malformed.")
        value = self._value()
        return lambda row: value in _texts(row, field)

    def _list(self) -> list[str]:
        self.expect("(")
        values = [self._value()]
        while self.next_is(","):
            values.append(self._value())
        self.expect(")")
        return values

    def _value(self) -> str:
        if not self.next_is("urldecode"):
            return _plain(self.take())
        self.expect("(")
        value = unquote(_plain(self.take()))
        self.expect(")")
        return value


_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
}


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = _TOKENS.match(text, at)
        if found is None:
            raise UnreadableError(f"Error in 'search' command: Unable to parse the search: {text[at:][:20]!r}.")
        yield found[0].strip()
        at = found.end()


def _plain(token: str) -> str:
    """A token as the text that it means; a backslash escapes only a quote and itself."""
    return re.sub(r'\\(["\\])', r"\1", token[1:-1]) if token.startswith('"') else token


def _texts(row: Row, field: str) -> list[str]:
    value = row.get(field)
    if value is None:
        return []
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _like(field: str, pattern: str) -> Test:
    shape, network = _shape(pattern), _network(pattern)
    return lambda row: any(
        shape.fullmatch(text) or (network is not None and _lies_in(text, network)) for text in _texts(row, field)
    )


def _shape(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE | re.DOTALL)


def _network(pattern: str) -> Any:
    try:
        return ip_network(pattern, strict=False) if "/" in pattern else None
    except ValueError:
        return None


def _lies_in(text: str, network: Any) -> bool:
    try:
        return ip_address(text) in network
    except ValueError:
        return False
