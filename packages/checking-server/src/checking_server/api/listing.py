"""Lists of the API: how a page is asked for, and the shape it comes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from litestar.params import QueryParameter

from checking_core.storage import Page

__all__ = ["Listing", "PageNumber", "PageSize", "columns", "listing"]

Items = TypeVar("Items", bound="Listing")

PageNumber: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1_000_000, description="Page of the list, from 1")]
PageSize: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1_000, description="Items on a page")]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list; a subclass for each kind adds the ``items``.

    ``total`` counts what the filters select, exactly up to 10,000; beyond, ``total_is_minimum`` is true.
    """

    total: int
    total_is_minimum: bool
    page: int
    size: int


def listing(page: Page, kind: type[Items]) -> Items:
    """A page of rows as a list of the API, whose items take the columns of their own names."""
    told = msgspec.structs.asdict(page)
    return msgspec.convert({**told, "items": [columns(row) for row in page.items]}, kind)


def columns(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as structs are made of it: the names that come from a database are a kind of text of their own."""
    return {str(name): value for name, value in row.items()}
