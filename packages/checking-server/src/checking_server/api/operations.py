"""Operations: what the red team ran."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, PathParameter, QueryParameter
from sqlalchemy import RowMapping

from checking_core.contracts import identity
from checking_core.errors import NotFoundError
from checking_core.storage import Paging, Store
from checking_core.storage.filters import OperationFilter, OperationOrder
from checking_server.api.filters import operation_filter
from checking_server.api.listing import columns, listing
from checking_server.api.problems import problems
from checking_server.api.schemas import Operation, Operations

__all__ = ["SOURCE", "found_operation", "router"]

SOURCE = "caldera"
"""Where ids come from that a request names without saying whose they are."""


@get("/", responses=problems())
async def list_operations(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    wanted: NamedDependency[OperationFilter],
    sort: Annotated[
        OperationOrder, QueryParameter(description="Order; a minus before it for the greatest first")
    ] = OperationOrder.NEWEST,
) -> Operations:
    """Operations, newest first."""
    async with store.read() as uow:
        page = await uow.operations.list(paging, wanted, sort)
    return listing(page, Operations)


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_operation(store: NamedDependency[Store], key: FromPath[UUID]) -> Operation:
    """One operation by its ``id`` here or by its ``operation_id``."""
    return msgspec.convert(columns(await found_operation(store, key)), Operation)


@get("/by-caldera-id/{caldera_id:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_operation_by_caldera_id(
    store: NamedDependency[Store],
    caldera_id: Annotated[str, PathParameter(description="As Caldera shows it, a UUID or not")],
) -> Operation:
    """One operation by the id it has in Caldera."""
    return msgspec.convert(columns(await found_operation(store, identity(SOURCE, caldera_id))), Operation)


async def found_operation(store: Store, key: UUID) -> RowMapping:
    """The operation with this ``id`` or ``operation_id``. Raises ``NotFoundError``."""
    async with store.read() as uow:
        row = await uow.operations.get(key)
    if row is None:
        raise NotFoundError("there is no operation with this id")
    return row


router = Router(
    "/operations",
    route_handlers=[list_operations, get_operation, get_operation_by_caldera_id],
    dependencies={"wanted": Provide(operation_filter, sync_to_thread=False)},
    tags=["operations"],
)
