"""Lists of the API: how a page is asked for, and the shape it comes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

import msgspec
from litestar.params import PathParameter, QueryParameter

from checking_core.errors import RejectedMessageError
from checking_core.storage import Page, Paging

__all__ = ["Cascade", "Hours", "Listing", "columns", "given", "listing", "paging"]

Items = TypeVar("Items", bound="Listing")

Hours: TypeAlias = Annotated[int, PathParameter(ge=1, le=87_600, description="Hours back from now, ten years at most")]

Cascade: TypeAlias = Annotated[bool, QueryParameter(description="Delete what hangs on it as well, else it is refused")]

_Number: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1_000_000, description="Page of the list, from 1")]
_Size: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1_000, description="Items on a page")]
_After: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        max_length=8_200,
        pattern=r"^[A-Za-z0-9_-]*$",
        description="The `next` of another page: the page behind it, however deep it lies",
    ),
]


def paging(page: _Number = 1, size: _Size = 100, after: _After = None) -> Paging:
    """The page that a request asks for; a dependency of every list."""
    if after is not None and page > 1:
        raise RejectedMessageError("page", "goes without `after`: a cursor says where its page begins")
    return Paging(page=page, size=size, after=after)


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list; a subclass for each kind adds the ``items``.

    ``total`` counts what the filters select, exactly up to 10,000; beyond, ``total_is_minimum`` is true. ``next`` asks
    for the page behind this one as ``after``; there is none behind the last.
    """

    total: int
    total_is_minimum: bool
    page: int
    size: int
    next: str | None


def listing(page: Page, kind: type[Items]) -> Items:
    """A page of rows as a list of the API, whose items take the columns of their own names.

    They are made by position: that takes a third of the time that names and a look at each value would.
    """
    item, values = _made_of(kind, tuple(page.names))
    told = {name: getattr(page, name) for name in Listing.__struct_fields__}
    make: Callable[..., Items] = kind
    return make(**told, items=[item(*values(row)) for row in page.rows])


@cache
def _made_of(kind: type[Listing], names: tuple[str, ...]) -> tuple[type[msgspec.Struct], itemgetter[Any]]:
    """What the items of a list are, and how a row becomes the values of their fields, in their order."""
    (items,) = (field for field in msgspec.structs.fields(kind) if field.name == "items")
    (item,) = get_args(items.type)
    return item, itemgetter(*(names.index(field) for field in item.__struct_fields__))


def given(wanted: msgspec.Struct) -> dict[str, Any]:
    """The fields of a correction that its sender has named."""
    told = msgspec.structs.asdict(wanted)
    return {name: value for name, value in told.items() if value is not msgspec.UNSET}


def columns(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row as structs are made of it: the names that come from a database are a kind of text of their own."""
    return {str(name): value for name, value in row.items()}
