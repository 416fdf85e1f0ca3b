"""Event queries of EQL, read and evaluated: what converted rules and checks of tests are written in, and no more.

Source: ``docs/reference/query-languages/eql/eql-syntax.md`` of elasticsearch. ``:`` and ``like~`` do not mind the case,
and have the wildcards ``*`` and ``?``. ``==`` is exact. ``not`` binds before ``and``, ``and`` before ``or``. Escapes of
a string are those of a quote, a backslash, and ``u{...}``. A condition on a missing field is not met, its ``not`` is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["UnreadableError", "query_of", "texts_in"]

Document = Mapping[str, Any]
Test = Callable[[Document], bool]

_TOKENS = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>==|!=|like~|[:(),])|(?P<word>[\w@.\-]+))""", re.DOTALL
)
_ESCAPED = re.compile(r"\\(?:u\{([0-9a-f]+)\}|(.))", re.DOTALL)


class UnreadableError(ValueError):
    """Elasticsearch would refuse it, or this fake cannot read it: no test may pass by what was not understood."""


def query_of(text: str) -> Test:
    """Whether a document meets ``category where condition``.

    Raises:
        UnreadableError: see there.
    """
    reader = _Reader(text)
    category, where = reader.take(), reader.take()
    if where != "where" or not category.isalpha():
        raise UnreadableError("line 1:1: no viable input")
    condition = reader.either()
    reader.end()
    if category == "any":
        return condition
    return lambda document: category in texts_in(document, "event.category") and condition(document)


def texts_in(document: Document, field: str) -> list[str]:
    """The values of a field as texts."""
    value = document.get(field)
    if value is None:
        return []
    return [str(one) for one in (value if isinstance(value, list) else [value])]


class _Reader:
    """Recursive descent, one method for each precedence."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def take(self) -> str:
        if self._at == len(self._tokens):
            raise UnreadableError("mismatched input '<EOF>'")
        self._at += 1
        return self._tokens[self._at - 1]

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise UnreadableError(f"mismatched input '{self._tokens[self._at]}'")

    def either(self) -> Test:
        tests = [self._both()]
        while self._next_is("or"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda document: any(test(document) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._next_is("and"):
            tests.append(self._single())
        return tests[0] if len(tests) == 1 else lambda document: all(test(document) for test in tests)

    def _single(self) -> Test:
        if self._next_is("not"):
            denied = self._single()
            return lambda document: not denied(document)
        if self._next_is("("):
            within = self.either()
            self._expect(")")
            return within
        return self._comparison()

    def _comparison(self) -> Test:
        field, how = self.take(), self.take()
        if how in ("==", "!=") and self._next_is("null"):
            return lambda document: bool(texts_in(document, field)) is (how == "!=")
        values = self._values()
        if how in ("==", "in"):
            return lambda document: any(text in values for text in texts_in(document, field))
        if how == "!=":
            return lambda document: bool(found := texts_in(document, field)) and not any(one in values for one in found)
        if how not in (":", "like~"):
            raise UnreadableError(f"mismatched input '{how}'")
        shapes = [_shape(value) for value in values]
        return lambda document: any(shape.fullmatch(one) for one in texts_in(document, field) for shape in shapes)

    def _values(self) -> list[str]:
        if not self._next_is("("):
            return [_plain(self.take())]
        values = [_plain(self.take())]
        while self._next_is(","):
            values.append(_plain(self.take()))
        self._expect(")")
        return values

    def _next_is(self, token: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == token
        self._at += found
        return found

    def _expect(self, token: str) -> None:
        if not self._next_is(token):
            raise UnreadableError(f"missing '{token}'")


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while text[at:].strip():
        found = _TOKENS.match(text, at)
        if found is None:
            raise UnreadableError(f"line 1:{at}: token recognition error at: '{text[at:][:20]}'")
        yield found[0].strip()
        at = found.end()


def _plain(token: str) -> str:
    if not token.startswith('"'):
        return token
    for escape in _ESCAPED.finditer(token[1:-1]):
        if escape[2] is not None and escape[2] not in '"\\btnfr':
            raise UnreadableError(f"unrecognized escape in {token[:40]}")
    return _ESCAPED.sub(lambda one: chr(int(one[1], 16)) if one[1] else one[2], token[1:-1])


def _shape(value: str) -> re.Pattern[str]:
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(sign) or re.escape(sign) for sign in value), re.DOTALL | re.IGNORECASE)
