"""The rows of an answer, and whether these are all. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from checking_core import BackendUnreachableError
from checking_core.plugin.fields import number_at, values_at
from checking_plugin_elastic.language import Language
from checking_plugin_elastic.queries import Asked

__all__ = ["Rows", "rows_of"]


class Rows(NamedTuple):
    """Documents in the form of a search's hits; ``whole`` if there are no more."""

    records: list[dict[str, Any]]
    whole: bool


def rows_of(answer: Mapping[str, Any], question: Asked) -> Rows:
    """The rows of an answer.

    Raises:
        BackendUnreachableError: it is no answer to a search, whoever gave it.
    """
    match question.language:
        case Language.ESQL:
            return _table(answer, question.most)
        case Language.EQL:
            return _events(answer, question.most)
    hits = values_at(answer, "hits.hits")
    total = number_at(answer, "hits.total.value", "hits.total")
    if total is None or "_shards" not in answer:
        raise _not_an_answer()
    return Rows(hits, whole=total <= len(hits))


def _events(answer: Mapping[str, Any], most: int) -> Rows:
    """Events, or those of sequences: each may be the one that the execution left."""
    hits = answer.get("hits")
    if not isinstance(hits, Mapping) or not any(isinstance(hits.get(name), list) for name in ("events", "sequences")):
        raise _not_an_answer()
    events, sequences = values_at(answer, "hits.events"), values_at(answer, "hits.sequences")
    within = [event for sequence in sequences for event in values_at(sequence, "events") if not event.get("missing")]
    return Rows([*events, *within], whole=max(len(events), len(sequences)) <= most)


def _table(answer: Mapping[str, Any], most: int) -> Rows:
    names, rows = values_at(answer, "columns.name"), answer.get("values")
    if not isinstance(rows, list) or not names:
        raise _not_an_answer()
    return Rows([_document(dict(zip(names, row, strict=False))) for row in rows], whole=len(rows) <= most)


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a document. One without ``METADATA _id`` is named by what it says."""
    told = {name: value for name, value in row.items() if value is not None}
    digest = hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()
    return {"_id": told.pop("_id", digest), "_index": told.pop("_index", None), "_source": told}


def _not_an_answer() -> BackendUnreachableError:
    return BackendUnreachableError("answered 200 with something that is no answer to a search")
