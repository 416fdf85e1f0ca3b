"""What pydantic found wrong, said in the words of the file: line, field, problem, remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from checking_core.expectations.document import Document, Path
from checking_core.expectations.model import SECTIONS
from checking_core.expectations.problem import LintCode, LintMessage

__all__ = ["problems_of"]

REFERENCE = "see the reference of expectations"
_CODES = {"extra_forbidden": LintCode.UNKNOWN_KEY, "bad_regex": LintCode.BAD_REGEX}


_PLAIN = {
    "missing": ("is missing", "add it"),
    "string_type": ("is no text", "put it in quotes"),
    "model_type": ("is no mapping", "write key: value"),
    "list_type": ("is no list", "write one entry a line, each after a dash"),
    "tuple_type": ("is no list", "write it in square brackets"),
}


def problems_of(error: ValidationError, document: Document, at: Path, known: Collection[str]) -> Iterator[LintMessage]:
    """One message for each thing that is wrong.

    Args:
        error: of ``Header``, ``WrittenExpectation`` or ``WrittenConfig``.
        document: the file that was validated.
        at: where in it the validated part stands.
        known: the keys that may stand there.
    """
    for found in error.errors(include_url=False):
        field = _field(found["type"], found["loc"], document, at)
        problem, remedy = _words(found["type"], found["msg"], found.get("ctx", {}), field, known)
        where = f"{'.'.join(map(str, field))}: " if field else ""
        yield LintMessage(
            file=document.file,
            line=document.line((*at, *field)),
            code=_CODES.get(found["type"], LintCode.SCHEMA),
            message=f"{where}{problem}",
            remedy=remedy,
        )


def _field(kind: str, loc: Path, document: Document, at: Path) -> Path:
    """The part of a location that stands in the file; what is missing is named although it does not."""
    known = document.known((*at, *loc))[len(at) :]
    return (*known, loc[-1]) if kind == "missing" else known


def _words(kind: str, message: str, context: dict[str, Any], field: Path, known: Collection[str]) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "is no known key", _nearest(str(field[-1]), _keys(field, known))
    if "expected" in context:
        return "is none of the known values", f"use {context['expected']}"
    if kind == "string_pattern_mismatch":
        return "has characters that are not allowed, or too many", f"it must match {context['pattern']}"
    if kind in _PLAIN:
        return _PLAIN[kind]
    problem, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return problem[0].lower() + problem[1:], remedy or REFERENCE


def _nearest(key: str, known: Collection[str]) -> str:
    near = get_close_matches(key, known, n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"


def _keys(field: Path, known: Collection[str]) -> Collection[str]:
    """The keys that may stand beside this one."""
    section = SECTIONS.get(str(field[0])) if len(field) > 1 else None
    return section.model_fields if section else known
