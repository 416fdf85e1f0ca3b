"""A page of rows with an honest total, by its number or by a cursor that costs the same however deep it lies."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.errors import RejectedMessageError

__all__ = ["COUNTED", "FIRST_PAGE", "Page", "Paging", "page_of"]

COUNTED = 10_000
"""Totals are exact up to here; beyond, counting would cost more than the page."""


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """Which page: by its number from 1, or the one ``after`` another, whose ``next`` this is."""

    page: int = 1
    size: int = 100
    after: str | None = None


FIRST_PAGE = Paging()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and how many the filters select; ``total_is_minimum`` when there are more than were counted.

    Each row has a value for each of the ``names``, in their order, and may have more behind them. ``next`` is the
    cursor of the page behind this one, if there is one.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]
    total: int
    total_is_minimum: bool
    page: int
    size: int
    next: str | None

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """The rows by the names of their columns."""
        return [dict(zip(self.names, row, strict=False)) for row in self.rows]


async def page_of(
    connection: AsyncConnection,
    table: sa.Table,
    rows: sa.Select[Any],
    where: Sequence[sa.ColumnElement[bool]],
    *,
    sort: str,
    paging: Paging,
) -> Page:
    """One page of a table.

    Args:
        connection: where to ask.
        table: its ``id`` makes every order total, so that pages neither repeat nor skip a row.
        rows: what is told of each row; joined tables neither add rows nor remove any.
        where: what the filters select.
        sort: a column of the table that is never NULL, a minus before it for the greatest first.
        paging: which page.

    Raises:
        RejectedMessageError: the cursor is none of this order.
    """
    counted = sa.select(sa.literal(1)).select_from(table).where(*where).limit(COUNTED + 1).subquery()
    count = sa.select(sa.func.count()).select_from(counted)
    down, column = sort.startswith("-"), table.c[sort.removeprefix("-")]
    order = [key.desc() if down else key for key in (column, table.c.id)]
    query = rows.add_columns(count.scalar_subquery()).where(*where).order_by(*order).limit(paging.size + 1)
    if paging.after is not None:
        last, here = sa.tuple_(*_read(paging.after, sort, column)), sa.tuple_(column, table.c.id)
        query = query.where(here < last if down else here > last)
    else:
        query = query.offset((paging.page - 1) * paging.size)
    result = await connection.execute(query)
    (*names, _), found = map(str, result.keys()), result.all()
    total = found[0][-1] if found else (await connection.execute(count)).scalar_one()
    told = found[: paging.size]
    more = len(found) > paging.size
    return Page(
        names=names,
        rows=told,
        total=min(total, COUNTED),
        total_is_minimum=total > COUNTED,
        page=paging.page,
        size=paging.size,
        next=_cursor(sort, *(told[-1][names.index(key)] for key in (column.name, "id"))) if more else None,
    )


def _cursor(sort: str, value: object, key: UUID) -> str:
    return urlsafe_b64encode(msgspec.json.encode((sort, value, key))).decode().rstrip("=")


def _read(cursor: str, sort: str, column: sa.Column[Any]) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[UUID]]:
    """The place that a cursor names, as values of the two columns of the order."""
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        made_for, value, key = msgspec.json.decode(text, type=tuple[str, Any, UUID])
        if made_for == sort:
            told = msgspec.convert(value, column.type.python_type)
            return sa.literal(told, column.type), sa.literal(key, sa.Uuid())
    except (ValueError, msgspec.MsgspecError):
        pass
    raise RejectedMessageError("after", "is no cursor of this list in this order; take it from the `next` of a page")
