"""Operations: what the red team ran."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from sqlalchemy import RowMapping

from checking_core.contracts import AccessRole, identity
from checking_core.errors import NotFoundError
from checking_core.storage import Paging, Store
from checking_core.storage.audit import Author
from checking_core.storage.filters import OperationFilter, OperationOrder
from checking_server.api.filters import aware, operation_filter
from checking_server.api.guards import needs
from checking_server.api.listing import Cascade, columns, given, listing
from checking_server.api.problems import problems
from checking_server.api.schemas import Operation, Operations
from checking_server.api.wanted import CorrectedOperation, WantedOperation
from checking_server.flow.correct import add_operation, correct_operation
from checking_server.flow.remove import remove_operation

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
    async with store.glance() as uow:
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


@post("/", opt=needs(AccessRole.OPERATOR), responses=problems(HTTPStatus.CONFLICT))
async def create_operation(
    store: NamedDependency[Store], author: NamedDependency[Author], data: JSONBody[WantedOperation]
) -> Operation:
    """Store an operation before anything of it has run. Messages that tell of it do so by themselves."""
    operation_id = identity(data.source, data.operation_id)
    about = {
        "operation_id": operation_id,
        "source": data.source,
        "source_id": None if str(operation_id) == data.operation_id.lower() else data.operation_id,
        "name": data.name,
        "operation_start": aware("operation_start", data.operation_start),
        "state": data.state,
        "attack_version": data.attack_version,
        "metadata": data.metadata,
    }
    return msgspec.convert(columns(await add_operation(store, author, about)), Operation)


@put("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND))
async def update_operation(
    store: NamedDependency[Store],
    author: NamedDependency[Author],
    key: FromPath[UUID],
    data: JSONBody[CorrectedOperation],
) -> Operation:
    """Correct what is known of an operation; what is not named stays."""
    aware("operation_start", data.operation_start or None)  # unset is nothing
    await correct_operation(store, key, author, given(data))
    return msgspec.convert(columns(await found_operation(store, key)), Operation)


@delete("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def delete_operation(
    store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID], *, cascade: Cascade = False
) -> None:
    """Delete an operation, by its ``id`` or its ``operation_id``; with executions only if they are meant."""
    await remove_operation(store, key, author, cascade=cascade)


async def found_operation(store: Store, key: UUID) -> RowMapping:
    """The operation with this ``id`` or ``operation_id``. Raises ``NotFoundError``."""
    async with store.glance() as uow:
        row = await uow.operations.get(key)
    if row is None:
        raise NotFoundError("there is no operation with this id")
    return row


router = Router(
    "/operations",
    route_handlers=[
        list_operations,
        get_operation,
        get_operation_by_caldera_id,
        create_operation,
        update_operation,
        delete_operation,
    ],
    dependencies={"wanted": Provide(operation_filter, sync_to_thread=False)},
    tags=["operations"],
)
