"""The Falcon Query Language: how hostile values are written in it, and which filters are refused. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from checking_core import QueryInvalidError

__all__ = ["FQL", "any_of", "literal", "moment", "own_condition", "refuse_other_language"]

FQL = "fql"

_SPECIAL = re.compile(r"[\\'*]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TOKEN = re.compile(r"'(?:\\.|[^'\\])*'|(?P<open>[(\[])|(?P<close>[)\]])|(?P<quote>['\"])", re.DOTALL)
_OWN_TIME = re.compile(r"(?:timestamp|first_seen|last_seen|_time)\s*:", re.IGNORECASE)
_PAIRS = {"(": ")", "[": "]"}


def literal(values: tuple[str, ...], *, within: bool = False) -> str:
    """The values as one literal, or as a list of which any may be the field's.

    Args:
        values: hostile.
        within: they stand within quotes of the filter: one value, without quotes of its own.

    Raises:
        QueryInvalidError: a list within quotes.
    """
    if within and len(values) > 1:
        raise QueryInvalidError("a placeholder that stands for several values cannot stand within quotes")
    escaped = [_escaped(value) for value in values]
    if within:
        return escaped[0]
    return _quoted(escaped[0]) if len(escaped) == 1 else f"[{','.join(map(_quoted, escaped))}]"


def any_of(*conditions: str) -> str:
    """A condition that holds where one of these does."""
    return f"({','.join(conditions)})"


def moment(when: datetime, *, up: bool = False) -> str:
    """A time as FQL reads it, in whole seconds.

    Args:
        when: aware.
        up: the next second if it lies between two.
    """
    whole = when.astimezone(UTC).replace(microsecond=0)
    later = timedelta(seconds=1 if up and when.microsecond else 0)
    return f"'{(whole + later).strftime('%Y-%m-%dT%H:%M:%SZ')}'"


def own_condition(query: str) -> str:
    """An author's filter, so that it can stand beside conditions of ours.

    Raises:
        QueryInvalidError: it is open at an end, has a time range of its own, or quotes that FQL does not have.
    """
    outside: list[str] = []
    expected: list[str] = []
    last = 0
    for token in _TOKEN.finditer(query):
        outside.append(query[last : token.start()])
        last = token.end()
        if token["quote"]:
            raise QueryInvalidError("the filter's strings are not certain; write each in single quotes, and close it")
        if token["open"]:
            expected.append(_PAIRS[token["open"]])
        elif token["close"] and (not expected or expected.pop() != token["close"]):
            raise QueryInvalidError(f"the filter closes a {token['close']} that is not open")
    if expected:
        raise QueryInvalidError(f"the filter lacks a {expected[-1]}")
    if _OWN_TIME.search("''".join([*outside, query[last:]])):
        raise QueryInvalidError("the filter has a time range of its own; the check's window is used, remove it")
    return f"({query.strip()})"


def refuse_other_language(written: str | None) -> None:
    """Falcon's alerts and hosts are asked in FQL only.

    Raises:
        QueryInvalidError: the author named another language.
    """
    if written is not None and written.lower() != FQL:
        raise QueryInvalidError(f"the language {written[:20]!r} is not {FQL}, in which Falcon's alerts are asked")


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", _SURROGATE.sub("\ufffd", value))


def _quoted(text: str) -> str:
    return f"'{text}'"
