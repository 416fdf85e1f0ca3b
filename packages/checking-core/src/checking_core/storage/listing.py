"""A page of rows with an honest total, by its number or by a cursor that costs the same however deep it lies."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from checking_core.errors import RejectedMessageError
from checking_core.storage.batch import kept

__all__ = ["COUNTED", "FIRST_PAGE", "Listed", "Page", "Paging"]

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


class Listed:
    """Rows that are told in pages; one for each kind of them, made once.

    Args:
        table: its ``id`` makes every order total, so that pages neither repeat nor skip a row.
        rows: what is told of each row; joined tables neither add rows nor remove any.
    """

    def __init__(self, table: sa.Table, rows: sa.Select[Any]) -> None:
        self._table = table
        self._rows = rows
        self._unfiltered: dict[tuple[str, bool], _Statements] = {}

    async def page(
        self, connection: AsyncConnection, where: Sequence[sa.ColumnElement[bool]], *, sort: str, paging: Paging
    ) -> Page:
        """One page.

        Args:
            connection: where to ask.
            where: what the filters select.
            sort: a column of the table that is never NULL, a minus before it for the greatest first.
            paging: which page.

        Raises:
            RejectedMessageError: the cursor is none of this order.
        """
        column = self._table.c[sort.removeprefix("-")]
        asked = self._statements(where, sort, after=paging.after is not None)
        values = {"limit": paging.size + 1, **_place(paging, sort, column)}
        result = await connection.execute(asked.rows, values)
        (*names, _), found = map(str, result.keys()), result.all()
        total = found[0][-1] if found else (await connection.execute(asked.total)).scalar_one()
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

    def _statements(self, where: Sequence[sa.ColumnElement[bool]], sort: str, *, after: bool) -> _Statements:
        """Those of an unfiltered page are made once: it takes longer than to have a short page of them."""
        if where:
            return self._made(where, sort, after=after)
        if (sort, after) not in self._unfiltered:
            rows, total = self._made((), sort, after=after)
            self._unfiltered[sort, after] = _Statements(kept(rows), kept(total))
        return self._unfiltered[sort, after]

    def _made(self, where: Sequence[sa.ColumnElement[bool]], sort: str, *, after: bool) -> _Statements:
        counted = sa.select(sa.literal(1)).select_from(self._table).where(*where).limit(COUNTED + 1).subquery()
        total = sa.select(sa.func.count()).select_from(counted)
        down, column, key = sort.startswith("-"), self._table.c[sort.removeprefix("-")], self._table.c.id
        order = [one.desc() if down else one for one in (column, key)]
        rows = self._rows.add_columns(total.scalar_subquery()).where(*where).order_by(*order).limit(_LIMIT)
        if not after:
            return _Statements(rows.offset(_OFFSET), total)
        here = sa.tuple_(column, key)
        last = sa.tuple_(sa.bindparam("last_value", type_=column.type), sa.bindparam("last_id", type_=key.type))
        return _Statements(rows.where(here < last if down else here > last), total)


class _Statements(NamedTuple):
    """What is asked: the rows of a page, each with the total behind it; and the total, for a page without any."""

    rows: sa.Select[Any]
    total: sa.Select[Any]


_LIMIT, _OFFSET = sa.bindparam("limit", type_=sa.Integer()), sa.bindparam("offset", type_=sa.Integer())


def _place(paging: Paging, sort: str, column: sa.Column[Any]) -> dict[str, Any]:
    """Where a page begins, as values of its statement."""
    if paging.after is None:
        return {"offset": (paging.page - 1) * paging.size}
    value, key = _read(paging.after, sort, column)
    return {"last_value": value, "last_id": key}


def _cursor(sort: str, value: object, key: UUID) -> str:
    return urlsafe_b64encode(msgspec.json.encode((sort, value, key))).decode().rstrip("=")


def _read(cursor: str, sort: str, column: sa.Column[Any]) -> tuple[Any, UUID]:
    """The place that a cursor names, as values of the two columns of the order."""
    try:
        text = urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4))
        made_for, value, key = msgspec.json.decode(text, type=tuple[str, Any, UUID])
        if made_for == sort:
            return msgspec.convert(value, column.type.python_type), key
    except (ValueError, msgspec.MsgspecError):
        pass
    raise RejectedMessageError("after", "is no cursor of this list in this order; take it from the `next` of a page")
