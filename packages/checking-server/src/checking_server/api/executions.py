"""Executions: what ran on which host, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter

from checking_core.contracts import AccessRole, MessageType, RunState, identity
from checking_core.errors import NotFoundError, RejectedMessageError
from checking_core.storage import Paging, Store
from checking_core.storage.audit import Author
from checking_core.storage.filters import ExecutionFilter, ExecutionOrder
from checking_core.transport.base import Message
from checking_core.transport.topology import HEADER_REQUEST_ID
from checking_server.api.filters import aware, execution_filter
from checking_server.api.guards import needs
from checking_server.api.listing import Cascade, Hours, columns, given, listing
from checking_server.api.operations import SOURCE, found_operation
from checking_server.api.problems import known, problems
from checking_server.api.schemas import Execution, Executions, ExecutionWithOperation
from checking_server.api.wanted import CorrectedExecution, WantedExecution
from checking_server.engine import Engine
from checking_server.flow.accept import Accepted, Change
from checking_server.flow.correct import correct_execution
from checking_server.flow.remove import remove_execution

__all__ = ["router"]

_FAILED = (RunState.FAILED, RunState.TIMED_OUT)

Sort = Annotated[ExecutionOrder, QueryParameter(description="Order; a minus before it for the greatest first")]


@get("/", responses=problems())
async def list_executions(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    wanted: NamedDependency[ExecutionFilter],
    sort: Sort = ExecutionOrder.NEWEST,
) -> Executions:
    """Executions, the last that started first."""
    return await _listed(store, paging, wanted, sort)


@get("/by-operation/{operation:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_executions_of_operation(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    operation: FromPath[UUID],
    sort: Sort = ExecutionOrder.OLDEST,
) -> Executions:
    """Executions of one operation, by its ``id`` or its ``operation_id``, in the order they started."""
    row = await found_operation(store, operation)
    return await _listed(store, paging, ExecutionFilter(operation_id=row["operation_id"]), sort)


@get("/recent/{hours:int}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_recent_executions(
    store: NamedDependency[Store], paging: NamedDependency[Paging], hours: Hours
) -> Executions:
    """Executions that started in the last hours, the last first."""
    async with store.glance() as uow:
        since = uow.now - timedelta(hours=hours)
    return await _listed(store, paging, ExecutionFilter(since=since), ExecutionOrder.NEWEST)


@get("/failed/list", responses=problems())
async def list_failed_executions(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Executions:
    """Executions that failed or ran out of time, the last first."""
    return await _listed(store, paging, ExecutionFilter(run_states=_FAILED), ExecutionOrder.NEWEST)


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_execution(store: NamedDependency[Store], key: FromPath[UUID]) -> Execution:
    """One execution by its ``id``, with its output."""
    return await _found(store, key)


@get("/by-link-id/{link:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_execution_by_link_id(
    store: NamedDependency[Store],
    link: Annotated[str, PathParameter(description="As Caldera shows it, a UUID or not")],
) -> Execution:
    """One execution by the id its link has in Caldera; of several operations the one that ran last."""
    async with store.glance() as uow:
        page = await uow.executions.list(Paging(size=1), ExecutionFilter(link_id=identity(SOURCE, link)))
    if not (found := page.items):
        raise NotFoundError(_UNKNOWN)
    return await _found(store, found[0]["id"])


@get("/with-operation/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_execution_with_operation(store: NamedDependency[Store], key: FromPath[UUID]) -> ExecutionWithOperation:
    """One execution by its ``id``, and the operation it is part of."""
    async with store.read() as uow:
        row = await uow.executions.get(key)
        operation = row and await uow.operations.get(row["operation_id"])
    if row is None or operation is None:
        raise NotFoundError(_UNKNOWN)
    return msgspec.convert({**columns(row), "operation": columns(operation)}, ExecutionWithOperation)


@post("/", opt=needs(AccessRole.OPERATOR), responses={**known(Execution), **problems(HTTPStatus.NOT_FOUND)})
async def create_execution(
    engine: NamedDependency[Engine], author: NamedDependency[Author], data: JSONBody[WantedExecution]
) -> Response[Execution]:
    """Tell of one execution of a stored operation; its checks are planned as those of a message.

    201 if it is new. The same again changes nothing, and another result of the same link revises it: 200.
    """
    operation = await found_operation(engine.store, data.operation_id)
    accepted = await _accepted(engine, author, _message(operation, data))
    execution = await _found(engine.store, accepted.execution_id or data.operation_id)
    new = accepted.change is Change.NEW
    return Response(execution, status_code=int(HTTPStatus.CREATED if new else HTTPStatus.OK))


@put("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND))
async def update_execution(
    store: NamedDependency[Store],
    author: NamedDependency[Author],
    key: FromPath[UUID],
    data: JSONBody[CorrectedExecution],
) -> Execution:
    """Correct what an execution is called and how it is mapped to ATT&CK; its checks stay as they are."""
    await correct_execution(store, key, author, given(data))
    return await _found(store, key)


@delete("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def delete_execution(
    store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID], *, cascade: Cascade = False
) -> None:
    """Delete an execution; with checks only if they are meant."""
    await remove_execution(store, key, author, cascade=cascade)


async def _listed(store: Store, paging: Paging, wanted: ExecutionFilter, order: ExecutionOrder) -> Executions:
    async with store.glance() as uow:
        page = await uow.executions.list(paging, wanted, order)
    return listing(page, Executions)


def _message(operation: Mapping[Any, Any], data: WantedExecution) -> bytes:
    about = {"operation_id": operation["operation_id"], "source": operation["source"], "name": operation["name"]}
    timestamp = aware("timestamp", data.timestamp)
    told = {"message_type": MessageType.LINK_RESULT, "timestamp": timestamp, "operation": about}
    return msgspec.json.encode({**told, "execution": data.execution})


async def _accepted(engine: Engine, author: Author, body: bytes) -> Accepted:
    headers = {HEADER_REQUEST_ID: author.request_id} if author.request_id else {}
    (answer,) = await engine.accept([Message(body=body, message_id="", headers=headers)])
    if isinstance(answer, RejectedMessageError):
        raise answer
    if answer.change is not Change.REPEATED:
        async with engine.store.begin() as uow:
            action = "create" if answer.change is Change.NEW else "revise"
            await uow.audit.note(author, f"execution.{action}", answer.execution_id)
    return answer


async def _found(store: Store, key: UUID) -> Execution:
    async with store.glance() as uow:
        row = await uow.executions.get(key)
    if row is None:
        raise NotFoundError(_UNKNOWN)
    return msgspec.convert(columns(row), Execution)


_UNKNOWN = "there is no execution with this id"

router = Router(
    "/executions",
    route_handlers=[
        list_executions,
        list_executions_of_operation,
        list_recent_executions,
        list_failed_executions,
        get_execution,
        get_execution_by_link_id,
        get_execution_with_operation,
        create_execution,
        update_execution,
        delete_execution,
    ],
    dependencies={"wanted": Provide(execution_filter, sync_to_thread=False)},
    tags=["executions"],
)
