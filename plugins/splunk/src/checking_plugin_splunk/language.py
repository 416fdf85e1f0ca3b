"""SPL, as far as a check has to understand it: where its strings, commands and subsearches are. Pure.

A value of a placeholder is marked at first, and written only once it is known what it stands in: ``*`` is itself in
``where`` and stands for any text in ``search``, and nothing can change that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from checking_core import QueryInvalidError
from checking_plugin_splunk.commands import BEGINNINGS, COMMANDS

__all__ = ["Query", "marked", "read", "text_of"]

_OPEN, _NEXT, _CLOSE = "\ue000", "\ue001", "\ue002"
"""Stand around a value, and between several, until it is written."""
_TOKEN = re.compile(
    r"""
      (?P<comment>```[^`\ue000]*```)
    | (?P<macro>`[^`"\ue000]*`)
    | (?P<string>"(?:\\[^\ue000]|\ue000[^\ue002]*\ue002|[^"\\\ue000])*")
    | (?P<value>\ue000[^\ue002]*\ue002)
    | (?P<unclear>["`]|\\(?=["|\[\]\ue000]|\Z))
    | (?P<sign>[|\[\]])
    | (?P<text>(?:\\[^"|\[\]\ue000]|[^|\[\]"`\ue000\\])+)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"\s*([A-Za-z_]\w*)")
_MARK = re.compile(rf"{_OPEN}([^{_CLOSE}]*){_CLOSE}")
_SEARCHES = frozenset({"search", "tstats", "mstats", "metasearch"})
_FETCHES = frozenset({"datamodel", "from", "metasearch", "mstats", "tstats", "union"})
_EVALUATES = frozenset({"where", "eval"})
_PATTERNS = re.compile(
    r"\b(?:like|match|searchmatch|replace|cidrmatch|mvfind|lookup|spath|printf|json_\w+)\b", re.IGNORECASE
)
_OWN_TIME = re.compile(
    r"""
      \b_?(?:index_)?(?:earliest|latest)\s*=(?!=)
    | \b(?:start|end)timeu?\s*= | \btimeformat\s*= | \bsearchtimespan\w+\s*=
    | \b(?:start|end)?(?:minutes|hours|days|months)ago\s*=
    | \b_(?:index)?time\s*(?:[<>]|!?=|\bin\b) | [<>]=?\s*_(?:index)?time\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SAVED = re.compile(r"\bsaved(?:search|splunk)\b|\|\s*from\s+(?!datamodel\b)", re.IGNORECASE)
_INDEX = re.compile(r"(?<!\bnot )(?<![\w.])index(?:(?:::|\s*=\s*)([^\s),|\]]+)|\s+in\s*\(([^)]*)\))", re.IGNORECASE)
_NAME = re.compile(r"[\w*\-]+")
_MODEL = re.compile(r"\bdatamodel\s*[=:]?\s*([\w.\-]+)", re.IGNORECASE)
_SUMMARIES = re.compile(r"\bsummariesonly\s*=\s*\w+", re.IGNORECASE)
_OWN_LIMIT = re.compile(r"\A[|\[\s]*\w+\s+(\d+)\b|\blimit\s*=\s*(\d+)", re.IGNORECASE)
_LIMITING = {"head": 10, "tail": 10, "top": 10, "rare": 10, "sort": 10_000, "dedup": 1}
"""Rows that a command lets through if it does not say, of each kind or of all; 0 is any number."""
_SUMS_UP_TIME = frozenset({"makecontinuous", "searchtxn", "timechart", "timewrap", "transaction"})
_MAY_BIN = frozenset({"bin", "bucket", "chart", "mstats", "tstats"})
_TIME = re.compile(r"\b_time\b", re.IGNORECASE)
_NAMED_TIME = re.compile(r"\bas\s+_time\b", re.IGNORECASE)
_NETWORK = re.compile(r"\s*[0-9A-Fa-f.:]+/\d{1,3}\s*")


class _Kind(StrEnum):
    COMMENT = "comment"
    MACRO = "macro"
    STRING = "string"
    VALUE = "value"
    UNCLEAR = "unclear"
    SIGN = "sign"
    TEXT = "text"


class _Piece(NamedTuple):
    """A token, the command that it belongs to, the number of that command, and the depth of its subsearch."""

    kind: _Kind
    text: str
    command: str
    number: int
    depth: int


def marked(values: tuple[str, ...]) -> str:
    """Hostile values in a form that nothing but ``read`` takes for anything but values."""
    plain = (value.translate(dict.fromkeys(map(ord, (_OPEN, _NEXT, _CLOSE)), "\ufffd")) for value in values)
    return f"{_OPEN}{_NEXT.join(plain)}{_CLOSE}"


class Query:
    """A query that only reads, at no other time than it is asked for."""

    def __init__(self, pieces: Sequence[_Piece]) -> None:
        self._pieces = pieces

    @property
    def generates(self) -> bool:
        """Whether it begins with a pipe, so that no condition can be put before it."""
        said = (piece for piece in self._pieces if piece.kind is not _Kind.COMMENT and piece.text.strip())
        return next(said).text == "|"

    @property
    def indexes(self) -> tuple[str, ...]:
        """What it searches, where it says so."""
        return _indexes_in("".join(map(_bare, self._sources)))

    @property
    def searched(self) -> tuple[str, ...]:
        """Every index that it names, also in subsearches and behind pipes."""
        said = ("".join(map(_bare, pieces)) for command, pieces in self._commands() if command in _SEARCHES)
        return tuple(dict.fromkeys(name for text in said for name in _indexes_in(text)))

    def probes(self, *, placed: bool) -> tuple[str, ...]:
        """Searches that have a row if there is anything in the macros and data models that it fetches events from.

        Args:
            placed: whether an index is put before it.
        """
        began = next((piece.number for piece in self._pieces if piece.command), 0)
        found: list[str] = []
        for command, pieces in self._commands():
            leads = pieces[0].text == "[" or (pieces[0].number == began and not placed)
            plain = "".join(map(_bare, pieces))
            if (leads or command in _FETCHES) and not _indexes_in(plain):
                found += _probes_of(command, pieces, plain)
        return tuple(dict.fromkeys(found))

    @property
    def is_scoped(self) -> bool:
        """Whether it says what it searches: an index, a data model, or a macro, which mostly begins with an index."""
        macro = any(piece.kind is _Kind.MACRO for piece in self._sources)
        plain = "".join(map(_bare, self._sources))
        return bool(self.indexes) or macro or (self.generates and _MODEL.search(plain) is not None)

    @property
    def own_limit(self) -> int | None:
        """The least number of rows that one of its commands lets through."""
        found = []
        for command, pieces in self._commands():
            if command in _LIMITING:
                told = _OWN_LIMIT.search("".join(map(_bare, pieces)))
                found.append(int(told[1] or told[2]) if told else _LIMITING[command])
        return min(filter(None, found), default=None)

    @property
    def retimes(self) -> bool:
        """Whether the time of a row may be none of an event: the beginning of a bin, or one event's for several."""
        said = [(command, "".join(map(_bare, pieces))) for command, pieces in self._commands()]
        return any(
            command in _SUMS_UP_TIME or _NAMED_TIME.search(text) or (command in _MAY_BIN and _TIME.search(text))
            for command, text in said
        )

    def parts(self) -> tuple[str, str]:
        """The condition that it begins with, and the rest from its first pipe on; with all values written.

        Raises:
            QueryInvalidError: a value cannot be itself where it stands.
        """
        written = [(piece, self._written(at)) for at, piece in enumerate(self._pieces)]
        ends = (at for at, piece in enumerate(self._pieces) if piece.depth == 0 and piece.text == "|")
        end = next(ends, len(written))
        first, rest = (("".join(text for _, text in part)).strip() for part in (written[:end], written[end:]))
        return re.sub(r"\Asearch\s+", "", first, flags=re.IGNORECASE), rest

    @property
    def _sources(self) -> list[_Piece]:
        """What says where events come from: the condition that the query begins with, or all of one without."""
        return [piece for piece in self._pieces if self.generates or piece.number == 0]

    def _commands(self) -> Iterator[tuple[str, list[_Piece]]]:
        numbers = dict.fromkeys(piece.number for piece in self._pieces)
        for number in numbers:
            pieces = [piece for piece in self._pieces if piece.number == number]
            yield next((piece.command for piece in pieces if piece.command), ""), pieces

    def _written(self, at: int) -> str:
        piece = self._pieces[at]
        if piece.kind not in (_Kind.STRING, _Kind.VALUE) or _OPEN not in piece.text:
            return piece.text
        if piece.command not in _SEARCHES | _EVALUATES:
            raise QueryInvalidError("a placeholder stands in search, tstats, where or eval, and in no other command")
        if piece.command in _EVALUATES and _PATTERNS.search(self._of_command(piece)):
            raise QueryInvalidError("a placeholder cannot stand in a command with a pattern; compare it with = or IN")
        literal = _evaluated if piece.command in _EVALUATES else _searched
        before = self._pieces[at - 1].text if at else " "
        after = self._pieces[at + 1].text if at + 1 < len(self._pieces) else " "
        if re.match(r"\s*(?:[=<>!]|::)", after):
            raise QueryInvalidError("a placeholder is no name of a field; put it behind the comparison")
        if piece.kind is _Kind.STRING:
            return literal(piece.text[1:-1])
        if not re.search(r"[\s=(,<>!|\[]\Z", before) or not re.match(r"[\s),|\]]", after):
            raise QueryInvalidError(
                "a placeholder outside of quotes stands for itself; put a blank before and behind it"
            )
        values = [literal(f"{_OPEN}{value}{_CLOSE}") for value in _values_in(piece.text)]
        return _listed(values, before, piece.command)

    def _of_command(self, one: _Piece) -> str:
        return "".join(_bare(piece) for piece in self._pieces if piece.number == one.number)


def read(query: str) -> Query:
    """A query, checked.

    Raises:
        QueryInvalidError: it may do more than read, has a time range of its own, or it is not certain where its strings
            end.
    """
    pieces = list(_pieces(query))
    if not any(piece.text.strip() for piece in pieces):
        raise QueryInvalidError("the query is empty")
    plain = "".join(map(_bare, pieces))
    if _SAVED.search(plain):
        raise QueryInvalidError(
            "the query runs a saved search, or reads no data model: what that does is not seen here"
        )
    if own := _OWN_TIME.search(plain):
        raise QueryInvalidError(
            f"the query has a time range of its own ({own[0].strip()}); the check's window is used, remove it"
        )
    return Query(pieces)


def text_of(text: str) -> str:
    """A text as a string that is safe in ``search``, in which ``*`` keeps to stand for any text."""
    escaped = text.replace("```", "*").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pieces(query: str) -> Iterator[_Piece]:
    """The query's tokens, each with its command.

    Raises:
        QueryInvalidError: see ``read``.
    """
    above: list[tuple[str, int]] = []
    command, number, expected, begun, first = "search", 0, True, False, False
    for found in _TOKEN.finditer(query):
        kind, text = _Kind(str(found.lastgroup)), found[0]
        if kind is _Kind.UNCLEAR:
            raise QueryInvalidError(
                "close each string and comment of the query, and write no quotes outside of strings"
            )
        if text == "]":
            yield _Piece(kind, text, command, number, len(above))
            if not above:
                raise QueryInvalidError("the query closes a subsearch that it has not begun")
            command, number = above.pop()
            expected = False
            continue
        if text == "[":
            above.append((command, number))
        if kind is _Kind.SIGN:
            command, number, expected, first = "", found.start() + 1, True, text == "|" and not begun
        elif expected and kind is not _Kind.COMMENT and text.strip():
            command, expected = _command_of(kind, text, implied=not begun, first=first), False
        begun = begun or (kind is not _Kind.COMMENT and bool(text.strip()))
        yield _Piece(kind, text, command, number, len(above))
    if above:
        raise QueryInvalidError("the query does not close a subsearch")


def _command_of(kind: _Kind, text: str, *, implied: bool, first: bool) -> str:
    """The name of a command.

    Raises:
        QueryInvalidError: it is none that only reads.
    """
    if implied:
        return "search"
    if kind is _Kind.MACRO:
        return "macro"
    word = _WORD.match(text) if kind is _Kind.TEXT else None
    name = word[1].lower() if word else text.strip()[:20]
    if name not in (BEGINNINGS if first else COMMANDS):
        raise QueryInvalidError(f"the command {name!r} is none of those that only read the events of a time")
    return name


def _indexes_in(plain: str) -> tuple[str, ...]:
    found = (name for one, several in _INDEX.findall(plain) for name in _NAME.findall(one or several))
    return tuple(dict.fromkeys(found))


def _probes_of(command: str, pieces: Sequence[_Piece], plain: str) -> list[str]:
    """Of its data models, or else of its macros: one beside a data model is no place of events."""
    if models := _MODEL.findall(plain):
        summaries = _SUMMARIES.search(plain)
        how = f"{summaries[0]} " if summaries else ""
        return [f"| tstats {how}count from datamodel={model} | where count>0" for model in models]
    lead = "|" if command == "macro" else "search"
    return [f"{lead} {piece.text} | head 1" for piece in pieces if piece.kind is _Kind.MACRO]


def _bare(piece: _Piece) -> str:
    if piece.kind is _Kind.STRING:
        within = piece.text[1:-1]
        return within if re.fullmatch(r"[\w*.\-]+", within) else '""'
    return '""' if piece.kind in (_Kind.VALUE, _Kind.COMMENT) else piece.text


def _values_in(mark: str) -> list[str]:
    return mark[1:-1].split(_NEXT)


def _listed(literals: list[str], before: str, command: str) -> str:
    """One literal, or several as a list behind IN, or as words of which one has to be there."""
    if re.search(r"\bin\s*\Z", before, re.IGNORECASE):
        return f"({', '.join(literals)})"
    if re.search(r"(?:\bin\s*\(|,)\s*\Z", before, re.IGNORECASE):
        return ", ".join(literals)
    if len(literals) == 1:
        return literals[0]
    if command in _EVALUATES or re.search(r"[=<>]\s*\Z", before):
        raise QueryInvalidError("a placeholder that stands for several values stands behind IN")
    return f"({' OR '.join(literals)})"


def _searched(content: str) -> str:
    """A string of ``search``.

    Raises:
        QueryInvalidError: ``search`` cannot say this value.
    """

    def escaped(found: re.Match[str]) -> str:
        value = _one(found[1])
        if "*" in value or "```" in value or _NETWORK.fullmatch(value):
            raise QueryInvalidError(
                "this execution has a value with *, ``` or a network in it, which search takes for a pattern; compare "
                "it behind a pipe: | where field=${...}"
            )
        return value.replace("\\", "\\\\").replace('"', '\\"')

    return f'"{_MARK.sub(escaped, content)}"'


def _evaluated(content: str) -> str:
    """An expression of ``where`` and ``eval`` that is this text: what is more than plain is decoded from letters."""

    def escaped(found: re.Match[str]) -> str:
        return _one(found[1]).replace("\\", "\\\\").replace('"', '\\"')

    literal = f'"{_MARK.sub(escaped, content)}"'
    if literal.isprintable() and "`" not in literal:
        return literal
    plain = re.sub(r"\\(.)", r"\1", literal[1:-1], flags=re.DOTALL)
    return f'urldecode("{quote(plain, safe="")}")'


def _one(mark: str) -> str:
    value, *more = mark.split(_NEXT)
    if more:
        raise QueryInvalidError("a placeholder that stands for several values cannot stand within quotes")
    return value
