"""One statement for a whole batch of rows, for whichever of the two databases is behind a connection.

PostgreSQL gets the rows as one JSON parameter: the statement is the same for every size of batch, so it is prepared
once, and it takes a third less time than a VALUES list with thousands of parameters. SQLite gets SQLAlchemy's own
multi-row statements.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from msgspec import json
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.cache_key import CacheKey

from checking_core.storage.types import UtcDateTime, with_offset

__all__ = ["Insert", "Row", "Update", "insert_rows", "kept", "one_of", "update_rows"]

Row: TypeAlias = Mapping[str, Any]


class _Kept:
    """A statement that is built once and its own key in an engine's cache of compiled statements.

    SQLAlchemy has no key for ON CONFLICT: it would compile the statement every time, which takes longer than the rest.
    """

    def _generate_cache_key(self) -> CacheKey:
        return CacheKey((self,), ())


class Insert(_Kept, postgresql.Insert):
    """Both dialects know the same ``on_conflict_*``: whoever finishes a statement need not know which of them it is."""


class _SqliteInsert(_Kept, sqlite.Insert):
    pass


class _KeptSelect(_Kept, sa.Select[Any]):
    pass


class Update(_Kept, sa.Update):
    """An UPDATE of the columns that the rows have beside their ``id``."""


async def insert_rows(
    connection: AsyncConnection, table: sa.Table, rows: Sequence[Row], finish: Callable[[Insert], sa.Executable]
) -> sa.CursorResult[Any]:
    """Insert rows, at least one.

    Args:
        connection: to either database.
        table: where to.
        rows: all with the same columns.
        finish: adds what is to happen to a row that is there already, and what is returned. A function that lives as
            long as the process and always does the same: it is called once.

    Raises:
        ValueError: the rows have different columns.
    """
    dialect = connection.dialect.name
    statement = _insert(dialect, table, _names(rows), finish)
    return await connection.execute(statement, rows if dialect == "sqlite" else {"rows": rows})


async def update_rows(
    connection: AsyncConnection, table: sa.Table, rows: Sequence[Row], finish: Callable[[Update], sa.Executable]
) -> None:
    """Update the columns that the rows have beside their ``id``. For the rest see ``insert_rows``."""
    dialect = connection.dialect.name
    statement = _update(dialect, table, _names(rows), finish)
    renamed = [{f"new_{name}": value for name, value in row.items()} for row in rows] if dialect == "sqlite" else ()
    await connection.execute(statement, renamed or {"rows": rows})


@cache
def _insert(
    dialect: str, table: sa.Table, names: tuple[str, ...], finish: Callable[[Insert], sa.Executable]
) -> sa.Executable:
    if dialect == "sqlite":
        return finish(_SqliteInsert(table))  # type: ignore[arg-type]
    return finish(Insert(table).from_select(names, sa.select(_given(table, names))))


@cache
def _update(
    dialect: str, table: sa.Table, names: tuple[str, ...], finish: Callable[[Update], sa.Executable]
) -> sa.Executable:
    changed = [name for name in names if name != "id"]
    if dialect == "sqlite":
        values = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in changed}
        return finish(Update(table).where(table.c.id == sa.bindparam("new_id")).values(values))
    given = _given(table, names)
    return finish(Update(table).where(table.c.id == given.c.id).values({name: given.c[name] for name in changed}))


def kept(statement: sa.Select[Any]) -> sa.Select[Any]:
    """The same of a SELECT that lives as long as the process: no key of its own is derived each time it is asked."""
    same = _KeptSelect()
    same.__dict__.update(statement.__dict__)
    return same


def one_of(
    connection: AsyncConnection, column: sa.ColumnElement[Any], values: Collection[Any]
) -> sa.ColumnElement[bool]:
    """Whether a column holds one of the values: the same statement and one parameter however many there are."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.literal(list(values), _array_of(column.type)))
    told = [value.hex if isinstance(value, UUID) else value for value in values]
    each = sa.func.json_each(json.encode(told).decode()).table_valued("value")
    return column.in_(sa.select(sa.cast(each.c.value, sa.Text)))


@cache
def _array_of(kind: sa.types.TypeEngine[Any]) -> postgresql.ARRAY[Any]:
    """Made once: an engine derives a key for its cache of statements from each type it has not met."""
    return postgresql.ARRAY(kind)


class _Rows(sa.types.TypeDecorator[Sequence[Row]]):
    """Rows as one JSON array, under the same rule for times as ``UtcDateTime``."""

    impl = sa.JSON
    cache_ok = True

    def __init__(self, times: tuple[str, ...]) -> None:
        super().__init__()
        self.times = times

    def process_bind_param(self, value: Sequence[Row] | None, dialect: sa.Dialect) -> Sequence[Row]:  # noqa: ARG002
        """Refuse naive times: the database would take them for its session's."""
        rows = value or ()
        for name in self.times:
            for row in rows:
                if row[name] is not None:
                    with_offset(row[name])
        return rows


def _given(table: sa.Table, names: Sequence[str]) -> sa.TableValuedAlias:
    columns = [sa.column(name, table.c[name].type) for name in names]
    times = tuple(column.name for column in columns if isinstance(column.type, UtcDateTime))
    rows = sa.func.json_to_recordset(sa.bindparam("rows", type_=_Rows(times)))
    return rows.table_valued(*columns).render_derived(name="given", with_types=True)


def _names(rows: Sequence[Row]) -> tuple[str, ...]:
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        raise ValueError("rows of one statement need the same columns")
    return tuple(names)
