"""Operations: what the red team ran."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, PathParameter, QueryParameter

from checking_core.contracts import identity
from checking_core.errors import NotFoundError
from checking_core.storage import Store
from checking_server.api.listing import PageNumber, PageSize, columns, listing
from checking_server.api.problems import problems
from checking_server.api.schemas import Operation, Operations

__all__ = ["router"]

_SOURCE = "caldera"


@get("/", responses=problems())
async def list_operations(
    store: NamedDependency[Store],
    page: PageNumber = 1,
    size: PageSize = 100,
    in_state: Annotated[
        str | None, QueryParameter(name="state", max_length=1_000, description="Only those in this state")
    ] = None,
) -> Operations:
    """Operations, newest first."""
    async with store.read() as uow:
        found = await uow.operations.list(page=page, size=size, state=in_state)
    return listing(found, Operations)


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_operation(store: NamedDependency[Store], key: FromPath[UUID]) -> Operation:
    """One operation by its ``id`` here or by its ``operation_id``."""
    return await _found(store, key)


@get("/by-caldera-id/{caldera_id:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_operation_by_caldera_id(
    store: NamedDependency[Store],
    caldera_id: Annotated[str, PathParameter(description="As Caldera shows it, a UUID or not")],
) -> Operation:
    """One operation by the id it has in Caldera."""
    return await _found(store, identity(_SOURCE, caldera_id))


async def _found(store: Store, key: UUID) -> Operation:
    async with store.read() as uow:
        row = await uow.operations.get(key)
    if row is None:
        raise NotFoundError("there is no operation with this id")
    return msgspec.convert(columns(row), Operation)


router = Router(
    "/operations", route_handlers=[list_operations, get_operation, get_operation_by_caldera_id], tags=["operations"]
)
