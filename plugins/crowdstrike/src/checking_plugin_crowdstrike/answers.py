"""The rows of an answer with status 200, and whether these are all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from checking_core import BackendUnreachableError
from checking_core.plugin.fields import number_at, texts_at

__all__ = ["Page", "page_of"]


class Page(NamedTuple):
    """A part of the rows.

    ``total`` is how many there are on all pages, ``cursor`` leads to the next; ``None`` where Falcon does not say.
    ``errors`` are what it could not do, although it answered.
    """

    rows: list[dict[str, Any]]
    total: int | None
    cursor: str | None
    errors: tuple[str, ...]


def page_of(answer: Mapping[str, Any], cursor: str) -> Page:
    """The rows of an answer.

    Args:
        answer: its body.
        cursor: the name that the way to the next page has in it.

    Raises:
        BackendUnreachableError: it is no answer to a search, whoever gave it.
    """
    meta, rows, errors = answer.get("meta"), answer.get("resources"), answer.get("errors")
    lists = "resources" in answer and isinstance(rows, list | None) and isinstance(errors, list | None)
    if not isinstance(meta, Mapping) or not lists:
        raise BackendUnreachableError("answered 200 with something that is no answer to a search")
    total = number_at(meta, "pagination.total")
    return Page(
        rows=[row for row in rows or [] if isinstance(row, dict)],
        total=total if total is not None and total >= 0 else None,
        cursor=next(iter(texts_at(meta, f"pagination.{cursor}")), None),
        errors=tuple(_words_of(error) for error in errors or ()),
    )


def _words_of(error: Any) -> str:
    told = texts_at(error, "code", "message") if isinstance(error, Mapping) else ()
    return f"Falcon answered in part: {' '.join(told) or 'it does not say why'}"[:300]
