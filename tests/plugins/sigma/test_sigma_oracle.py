"""An evaluator that others wrote, pySigma's SQLite backend, wherever it is right. Where it is not has a name."""

from __future__ import annotations

import re
import sqlite3

import pytest
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from .rules_and_events import a_rule, rule_text
from .test_sigma_modifiers import CASES, hits

KNOWN_TO_DIFFER = {
    "case beyond ASCII": lambda selection, fields: not str((selection, fields)).isascii(),
    "networks are compared as text": lambda selection, _: "|cidr" in str(selection),
    "numbers are compared as text": lambda selection, _: re.search(r"\|(gt|lt)", str(selection)) is not None,
    "a field is matched with the other as a pattern": lambda selection, _: "|fieldref" in str(selection),
    "lists and objects are no columns": lambda _, fields: any(isinstance(v, list | dict) for v in fields.values()),
    "words need a column of everything": lambda selection, _: isinstance(selection, list) or "'|" in str(selection),
    "parts of a time depend on the column": lambda selection, _: re.search(r"\|(hour|week|year)", str(selection)),
    "no query may hold a NUL": lambda selection, _: "|wide|contains" in str(selection),
    "its pattern engine looks neither ahead nor behind": lambda selection, _: "(?<" in str(selection),
    "5.0 is not 5": lambda _, fields: any(isinstance(value, float) for value in fields.values()),
    "pattern flags are another engine's": lambda selection, _: "|re|" in str(selection),
    "true is 1": lambda selection, fields: any(isinstance(v, bool) for v in (*fields.values(), *selection.values())),
    "null within a list": lambda selection, _: isinstance(selection, dict) and [] in selection.values(),
}


def difference(selection, fields) -> str | None:
    return next((name for name, differs in KNOWN_TO_DIFFER.items() if differs(selection, fields)), None)


def says_sqlite(selection, fields) -> bool:
    backend = sqliteBackend(collate_nocase=True)
    (query,) = backend.convert(SigmaCollection.from_yaml(rule_text(selection)))
    columns = sorted({*fields, *a_rule(selection).fields, "Channel"})
    with sqlite3.connect(":memory:") as database:
        database.create_function(
            "REGEXP", 2, lambda pattern, value: value is not None and bool(re.search(pattern, value))
        )
        names = ", ".join(f'"{name}"' for name in columns)
        database.execute(
            f"CREATE TABLE logs ({', '.join(f'{chr(34)}{name}{chr(34)} TEXT COLLATE NOCASE' for name in columns)})"
        )
        values = [None if fields.get(name) is None else str(fields[name]) for name in columns]
        database.execute(f"INSERT INTO logs ({names}) VALUES ({', '.join('?' * len(columns))})", values)
        found = database.execute(query.replace("<TABLE_NAME>", "logs")).fetchall()
    database.close()
    return bool(found)


ASKED = [case for case in CASES if difference(*case[:2]) is None]


def test_the_oracle_is_asked_about_most_kinds_of_comparison():
    assert len(ASKED) >= 45


@pytest.mark.parametrize(("selection", "fields", "expected"), ASKED)
def test_an_independent_evaluator_says_the_same(selection, fields, expected):
    assert says_sqlite(selection, fields) is expected is hits(selection, fields)
