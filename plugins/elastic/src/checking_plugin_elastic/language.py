"""How Elasticsearch's languages write hostile values, and which queries are refused. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from checking_core import QueryInvalidError

__all__ = ["Language", "language_of", "literal", "read_dsl", "refuse_unsafe", "strings_in", "without_strings"]


class Language(StrEnum):
    """What a query is written in."""

    LUCENE = "lucene"
    DSL = "dsl"
    EQL = "eql"
    ESQL = "esql"


_TIME = r"[`\"\\]*@timestamp[`\"]*"
_COMPARED = rf"{_TIME}\s*(?:[<>]|==|!=|:|\b(?:in|between|not)\b)|[<>=]\s*{_TIME}"
_OWN_TIME = {
    Language.LUCENE: re.compile(rf"{_TIME}\s*:"),
    Language.EQL: re.compile(_COMPARED, re.IGNORECASE),
    Language.ESQL: re.compile(_COMPARED, re.IGNORECASE),
}
_WRITES_TIME = re.compile(rf"{_TIME}\s*=(?!=)|\bas\s+{_TIME}", re.IGNORECASE)
_TAKES_APART = re.compile(r"\|\s*(?:grok|dissect)\b", re.IGNORECASE)
_STRING = re.compile(r'"""[\s\S]*?"""|"(?:\\.|[^"\\])*"')
_UNCLEAR = re.compile(r"""['"`]|//|/\*""")
_OPEN, _CLOSE = "\ue000", "\ue001"
"""Stand around a value in DSL until it is known where in the query it is."""
_BESIDE = frozenset({"query", "size", "sort", "_source", "track_total_hits"})
"""What a body may hold that chooses no documents: of all that it holds, the query alone is asked."""
_FIELD_LISTS = frozenset({"fields", "default_field"})
_IN_WORDS = frozenset({"query_string", "simple_query_string"})
_PATTERNS = _IN_WORDS | frozenset({"wildcard", "regexp", "prefix", "script"})


def language_of(written: str | None, query: str = "") -> Language:
    """The language that the author named, or that the query looks like.

    Raises:
        QueryInvalidError: there is none of that name.
    """
    if written is None:
        return Language.DSL if query.lstrip().startswith("{") else Language.LUCENE
    try:
        return Language(written.lower().replace("es|ql", "esql"))
    except ValueError:
        known = ", ".join(Language)
        raise QueryInvalidError(f"the language {written[:20]!r} is none of {known}") from None


def literal(values: tuple[str, ...], language: Language, *, within: bool) -> str:
    """The values as one literal, or as a list of them.

    Args:
        values: hostile.
        language: of the query.
        within: they stand within quotes of the query: one value, without quotes of its own.

    Raises:
        QueryInvalidError: a list within quotes, or a value that the language cannot write.
    """
    if within and len(values) > 1:
        raise QueryInvalidError("a placeholder that stands for several values cannot stand within quotes")
    escaped = [_ESCAPE[language](value) for value in values]
    if within:
        return escaped[0]
    literals = [f'"{text}"' for text in escaped]
    if len(literals) == 1:
        return literals[0]
    if language is Language.DSL:
        return f"[{', '.join(literals)}]"
    return f"({(' OR ' if language is Language.LUCENE else ', ').join(literals)})"


def _in_lucene(value: str) -> str:
    """Every character that is no letter or digit escaped: so it is itself within quotes, and a word without."""
    escaped = re.sub(r"[^0-9A-Za-z]", r"\\\g<0>", value)
    return f"\\{escaped}" if escaped in ("AND", "OR", "NOT", "TO") else escaped


def _in_eql(value: str) -> str:
    """Nothing that is left could end a string, or begin one."""
    return re.sub(r"[^0-9A-Za-z_.\-]", lambda found: f"\\u{{{ord(found[0]):x}}}", value)


def _in_esql(value: str) -> str:
    special = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return re.sub(r'[\\"\n\r\t]', lambda found: special[found[0]], value)


def _in_dsl(value: str) -> str:
    marked = value.replace(_OPEN, "\ufffd").replace(_CLOSE, "\ufffd")
    return json.dumps(f"{_OPEN}{marked}{_CLOSE}")[1:-1]


_ESCAPE = {
    Language.LUCENE: _in_lucene,
    Language.DSL: _in_dsl,
    Language.EQL: _in_eql,
    Language.ESQL: _in_esql,
}


def strings_in(query: str) -> list[str]:
    """Every string of the query, as it is written."""
    return _STRING.findall(query)


def without_strings(query: str) -> str:
    """The query with every string empty."""
    return _STRING.sub('""', query)


def refuse_unsafe(query: str, language: Language, template: str | None) -> None:
    """Refuse what would search another time than the check, or put a placeholder where its quotes are not certain.

    Args:
        query: as it is to be sent.
        language: of the query.
        template: as its author wrote it, with placeholders.

    Raises:
        QueryInvalidError: says what to change.
    """
    outside = without_strings(query)
    own_time = _OWN_TIME.get(language)
    if own_time is not None and own_time.search(outside):
        raise _own_time()
    if language is Language.ESQL and _writes_time(query, outside):
        raise QueryInvalidError(
            "the query writes @timestamp, which has to stay the time of the event; name it otherwise"
        )
    if language in (Language.EQL, Language.ESQL) and template is not None and "${" in template:
        bare = _STRING.sub("", template)
        if _UNCLEAR.search(bare):
            raise QueryInvalidError(
                "a query with placeholders writes its strings in double quotes and has neither comments nor backticks"
            )


def _writes_time(query: str, outside: str) -> bool:
    """Whether a row's time is another than its event's: an hour rounded down lies outside of the check's window."""
    taken_apart = _TAKES_APART.search(outside) and any("@timestamp" in text for text in strings_in(query))
    return bool(taken_apart or _WRITES_TIME.search(outside))


def read_dsl(query: str) -> dict[str, Any]:
    """The query, with the values of placeholders in place.

    Raises:
        QueryInvalidError: it is no JSON object, has a time range of its own, runs a script, is a body with more than a
            query, or has a placeholder where its value would be a pattern.
    """
    try:
        found = json.loads(query)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise QueryInvalidError("the DSL query is no JSON object") from None
    if "query" in found and (more := sorted(found.keys() - _BESIDE)):
        raise QueryInvalidError(f"{', '.join(more)} beside the query would be left out; say it within the query")
    plain: dict[str, Any] = _checked(found.get("query", found), pattern=None)
    return plain


def _checked(value: Any, *, pattern: str | None) -> Any:
    match value:
        case str():
            if pattern and _OPEN in value:
                raise QueryInvalidError(f"a placeholder cannot stand in {pattern}; use term, terms or match_phrase")
            if pattern in _IN_WORDS and "@timestamp" in without_strings(value):
                raise _own_time()
            return value.replace(_OPEN, "").replace(_CLOSE, "")
        case list():
            return [_checked(item, pattern=pattern) for item in value]
        case Mapping():
            for name in value:
                _refuse_key(str(name), value[name])
            return {
                _checked(name, pattern="the name of a field"): _checked(item, pattern=_pattern(name, pattern))
                for name, item in value.items()
            }
    return value


def _pattern(name: str, outer: str | None) -> str | None:
    return name if name in _PATTERNS else outer


def _refuse_key(name: str, item: Any) -> None:
    if name == "@timestamp" or (name in _FIELD_LISTS and "@timestamp" in str(item)):
        raise _own_time()
    if name in ("script", "script_score"):
        raise QueryInvalidError("the query runs a script, which no check needs")


def _own_time() -> QueryInvalidError:
    return QueryInvalidError("the query has a time range of its own; the check's window is used, remove it")
