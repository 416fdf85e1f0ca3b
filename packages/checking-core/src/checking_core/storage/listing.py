"""A page of rows with an honest total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["COUNTED", "Page", "page_of"]

COUNTED = 10_000
"""Totals are exact up to here; beyond, counting would cost more than the page."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows and how many the filters select; ``total_is_minimum`` when there are more than were counted."""

    items: Sequence[sa.RowMapping]
    total: int
    total_is_minimum: bool
    page: int
    size: int


async def page_of(
    connection: AsyncConnection, query: sa.Select[Any], order: Sequence[sa.ColumnElement[Any]], *, page: int, size: int
) -> Page:
    """One page of a query.

    Args:
        connection: where to ask.
        query: what the filters select, unordered.
        order: must be total, so that pages neither repeat nor skip a row.
        page: from 1.
        size: rows a page.
    """
    counted = sa.select(sa.func.count()).select_from(
        query.limit(COUNTED + 1).with_only_columns(sa.literal(1), maintain_column_froms=True).subquery()
    )
    total = (await connection.execute(counted)).scalar_one()
    rows = (await connection.execute(query.order_by(*order).limit(size).offset((page - 1) * size))).mappings().all()
    return Page(items=rows, total=min(total, COUNTED), total_is_minimum=total > COUNTED, page=page, size=size)
