"""As much of the Falcon Query Language as filters of alerts and hosts are written in, read as its grammar has it.

Sources: CrowdStrike/falcon-mcp ``falcon_mcp/resources/detections.py`` (operators, lists, wildcards, ``+`` and ``,``).
That a sign behind a backslash is itself is what samples of CrowdStrike's rest on: a quote, a backslash, an asterisk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from checking_core.plugin.fields import texts_at, values_at

__all__ = ["Condition", "Text", "UnreadableError", "conditions_in", "filter_of"]

Test = Callable[[Mapping[str, Any]], bool]
_FIELD = re.compile(r"[A-Za-z_][\w.\-]*")
_HOW = re.compile(r">=|<=|!~|[!><~*](?=')|[!><~](?=[\[\d*tf])|(?=)")
_BARE = re.compile(r"\*|true|false|-?\d+(?:\.\d+)?")
_STRING = re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)
_PART = re.compile(r"\\(.)|(\*)|(.)", re.DOTALL)


class UnreadableError(Exception):
    """It is no filter of FQL."""


class Text(NamedTuple):
    """A value: its signs, and where in it any text may stand."""

    text: str
    any_at: tuple[int, ...] = ()


class Condition(NamedTuple):
    """One field compared with one of some values; no values at all: whether it is there."""

    field: str
    how: str
    values: tuple[Text, ...]


class Reader:
    """Reads a filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.conditions: list[Condition] = []

    def read(self) -> Test:
        test = self._either()
        if self._at != len(self._text):
            raise self._lost()
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._taken(","):
            tests.append(self._both())
        return lambda document: any(test(document) for test in tests)

    def _both(self) -> Test:
        tests = [self._unit()]
        while self._taken("+"):
            tests.append(self._unit())
        return lambda document: all(test(document) for test in tests)

    def _unit(self) -> Test:
        if self._taken("("):
            test = self._either()
            self._need(")")
            return test
        field = self._match(_FIELD)[0]
        self._need(":")
        how = self._match(_HOW)[0]
        if self._text.startswith("*", self._at):
            self._at += 1
            condition = Condition(field, how, ())
        else:
            condition = Condition(field, how, self._values())
        self.conditions.append(condition)
        return lambda document: _holds(condition, document)

    def _values(self) -> tuple[Text, ...]:
        if not self._taken("["):
            return (self._value(),)
        values = [self._value()]
        while self._taken(","):
            values.append(self._value())
        self._need("]")
        return tuple(values)

    def _value(self) -> Text:
        if found := _STRING.match(self._text, self._at):
            self._at = found.end()
            return _text_of(found[1])
        return Text(self._match(_BARE)[0])

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._lost()
        self._at = found.end()
        return found

    def _taken(self, sign: str) -> bool:
        here = self._text.startswith(sign, self._at)
        self._at += len(sign) if here else 0
        return here

    def _need(self, sign: str) -> None:
        if not self._taken(sign):
            raise self._lost()

    def _lost(self) -> UnreadableError:
        return UnreadableError(f"invalid filter at {self._text[self._at :][:20]!r}")


def filter_of(text: str) -> Test:
    """The test that a filter is.

    Raises:
        UnreadableError: it is none.
    """
    return Reader(text).read() if text else lambda _: True


def conditions_in(text: str) -> list[Condition]:
    """The conditions of a filter, from left to right.

    Raises:
        UnreadableError: it is none.
    """
    reader = Reader(text)
    reader.read()
    return reader.conditions


def _text_of(written: str) -> Text:
    signs: list[str] = []
    any_at: list[int] = []
    for part in _PART.finditer(written):
        if part[2]:
            any_at.append(len(signs))
        else:
            signs.append(part[1] or part[3])
    return Text("".join(signs), tuple(any_at))


def _holds(condition: Condition, document: Mapping[str, Any]) -> bool:
    found = [str(value) for value in values_at(document, condition.field) if not isinstance(value, dict | list)]
    match condition.how:
        case "!":
            return not any(_equals(value, text) for value in condition.values for text in found) and not (
                not condition.values and found
            )
        case "~" | "!~":
            words = [" ".join(re.findall(r"\w+", text.lower())) for text in texts_at(document, condition.field)]
            wanted = [" ".join(re.findall(r"\w+", value.text.lower())) for value in condition.values]
            return any(one in text for one in wanted for text in words) is (condition.how == "~")
        case ">" | ">=" | "<" | "<=":
            return any(_compared(text, condition.how, condition.values[0].text) for text in found)
    return bool(found) if not condition.values else any(_equals(v, text) for v in condition.values for text in found)


def _equals(value: Text, text: str) -> bool:
    bounds = (0, *value.any_at, len(value.text))
    parts = [re.escape(value.text[start:end]) for start, end in pairwise(bounds)]
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None


def _compared(text: str, how: str, wanted: str) -> bool:
    left, right = _size_of(text), _size_of(wanted)
    return {">": left > right, ">=": left >= right, "<": left < right, "<=": left <= right}[how]


def _size_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text).timestamp()
