"""One field of many events: each distinct value once, with the rows that have it as a set of bits.

Thousands of rules ask the same few values, so a text is searched for in all of them at once: they are joined with a
separator between them, and found places are counted back to values.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from checking_plugin_sigma.evaluate.predicates import predicate
from checking_plugin_sigma.rules.model import Kind, Test

__all__ = ["Column", "bits_of", "rows_of"]

_SEPARATOR = "\0"
_FEW = 32
_SEARCHED = frozenset({Kind.CONTAINS, Kind.STARTS, Kind.ENDS})


class Column:
    """The values of one field.

    Args:
        rows: the numbers of the rows that have a value, by value.
    """

    def __init__(self, rows: Mapping[str, Sequence[int]]) -> None:
        self._rows = rows

    @cached_property
    def present(self) -> int:
        """The rows that have the field."""
        return bits_of([row for rows in self._rows.values() for row in rows])

    @cached_property
    def _cased(self) -> _Values:
        return _Values(self._rows)

    @cached_property
    def _folded(self) -> _Values:
        folded: dict[str, Sequence[int]] = {}
        for value, rows in self._rows.items():
            lower = value.lower()
            known = folded.get(lower)
            folded[lower] = rows if known is None else [*known, *rows]
        return _Values(folded)

    def where(self, tests: Iterable[Test]) -> int:
        """The rows with a value that passes one of the tests."""
        found = 0
        for test in tests:
            if test.kind is Kind.ANY:
                return self.present
            found |= (self._cased if test.cased else self._folded).where(test)
        return found


class _Values:
    """The distinct values of a column, as they are or in lower case."""

    def __init__(self, rows: Mapping[str, Sequence[int]]) -> None:
        self._by_value = rows
        plain = [value for value in rows if _SEPARATOR not in value]
        self._odd = [value for value in rows if _SEPARATOR in value] if len(plain) < len(rows) else []
        self._rows = [rows[value] for value in plain]
        self._bits: list[int | None] = [None] * len(plain)
        self._text = f"{_SEPARATOR}{_SEPARATOR.join(plain)}{_SEPARATOR}"
        self._starts: list[int] = []
        self._ends: list[int] = []
        place = 1
        for value in plain:
            self._starts.append(place)
            place += len(value)
            self._ends.append(place)
            place += 1

    def where(self, test: Test) -> int:
        kind, text = test.kind, test.text
        if kind is Kind.EQUALS:
            rows = self._by_value.get(text)
            return 0 if rows is None else bits_of(rows)
        if kind not in _SEARCHED:
            passes = predicate(test)
            return bits_of([row for value, rows in self._by_value.items() if passes(value) for row in rows])
        found = self._oddly(test) if self._odd else 0
        if _SEPARATOR in text:
            return found
        if kind is Kind.CONTAINS:
            return found | self._found(text, 0)
        return found | (self._found(text + _SEPARATOR, 0) if kind is Kind.ENDS else self._found(_SEPARATOR + text, 1))

    def _found(self, needle: str, ahead: int) -> int:
        """The rows whose value holds the needle, which begins ``ahead`` of the value."""
        find = self._text.find
        place = find(needle)
        if place < 0:
            return 0
        starts, ends = self._starts, self._ends
        found, last = 0, len(self._text) - 1
        while 0 <= place < last:
            index = bisect_right(starts, place + ahead) - 1
            bits = self._bits[index]
            if bits is None:
                bits = self._bits[index] = bits_of(self._rows[index])
            found |= bits
            place = find(needle, ends[index])
        return found

    def _oddly(self, test: Test) -> int:
        """Values that have the separator in them, which somebody may have put there to be overlooked."""
        passes = {Kind.CONTAINS: str.__contains__, Kind.STARTS: str.startswith, Kind.ENDS: str.endswith}[test.kind]
        return bits_of([row for value in self._odd if passes(value, test.text) for row in self._by_value[value]])


def bits_of(rows: Sequence[int]) -> int:
    """Row numbers as a set of bits."""
    if len(rows) < _FEW:
        found = 0
        for row in rows:
            found |= 1 << row
        return found
    buffer = bytearray(max(rows) // 8 + 1)
    for row in rows:
        buffer[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(buffer, "little")


def rows_of(bits: int) -> list[int]:
    """A set of bits as row numbers, ascending."""
    rows = []
    while bits:
        lowest = bits & -bits
        rows.append(lowest.bit_length() - 1)
        bits ^= lowest
    return rows
