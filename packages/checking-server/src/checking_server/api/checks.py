"""Checks (detection executions): what is asked of which backend, and how far it is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from checking_core.contracts import AccessRole, CheckStatus
from checking_core.contracts.hints import read_hints
from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Paging, Store
from checking_core.storage.audit import Author
from checking_core.storage.filters import CheckFilter, CheckOrder
from checking_server.api.filters import check_filter
from checking_server.api.guards import needs
from checking_server.api.listing import Cascade, columns, listing
from checking_server.api.operations import found_operation
from checking_server.api.problems import known, problems
from checking_server.api.schemas import Check, Checks
from checking_server.api.wanted import CorrectedCheck, WantedCheck
from checking_server.engine import Engine
from checking_server.flow.cancel import cancel
from checking_server.flow.correct import correct_max_retries
from checking_server.flow.remove import remove_check

__all__ = ["router"]

Sort = Annotated[CheckOrder, QueryParameter(description="Order; a minus before it for the greatest first")]


@get("/", responses=problems())
async def list_checks(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    wanted: NamedDependency[CheckFilter],
    sort: Sort = CheckOrder.NEWEST,
) -> Checks:
    """Checks, newest first."""
    return await _listed(store, paging, wanted, sort)


@get("/by-execution-result/{execution:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_checks_of_execution(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    execution: FromPath[UUID],
    sort: Sort = CheckOrder.OLDEST,
) -> Checks:
    """Checks of one execution, by its ``id``."""
    async with store.glance() as uow:
        if await uow.executions.get(execution) is None:
            raise NotFoundError("there is no execution with this id")
    return await _listed(store, paging, CheckFilter(execution_id=execution), sort)


@get("/by-operation/{operation:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_checks_of_operation(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    operation: FromPath[UUID],
    sort: Sort = CheckOrder.OLDEST,
) -> Checks:
    """Checks of one operation, by its ``id`` or its ``operation_id``."""
    row = await found_operation(store, operation)
    return await _listed(store, paging, CheckFilter(operation_id=row["operation_id"]), sort)


@get("/pending/list", responses=problems())
async def list_pending_checks(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Checks:
    """Checks that wait for a look, newest first."""
    return await _listed(store, paging, CheckFilter(statuses=(CheckStatus.PENDING,)))


@get("/failed/list", responses=problems())
async def list_failed_checks(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Checks:
    """Checks that were closed without a verdict, newest first."""
    return await _listed(store, paging, CheckFilter(statuses=(CheckStatus.FAILED,)))


@get("/retryable/list", responses=problems())
async def list_retryable_checks(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Checks:
    """Checks that were closed without a verdict and may get one when they are asked once more, newest first."""
    return await _listed(store, paging, CheckFilter(retryable=True))


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_check(store: NamedDependency[Store], key: FromPath[UUID]) -> Check:
    """One check by its ``id``."""
    return await _found(store, key)


@post(
    "/",
    opt=needs(AccessRole.OPERATOR),
    responses={**known(Check), **problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)},
)
async def create_check(
    engine: NamedDependency[Engine], author: NamedDependency[Author], data: JSONBody[WantedCheck]
) -> Response[Check]:
    """Ask one more thing of a stored execution, as a `detections` entry of its message would have.

    201 if the check is new; the same question of the same backend is one check, and 200.
    """
    entry = msgspec.structs.asdict(data)
    execution_id = entry.pop("execution_result_id")
    ((hint,), _) = read_hints([entry])
    key, new = await engine.ask_for(execution_id, hint, author)
    return Response(await _found(engine.store, key), status_code=int(HTTPStatus.CREATED if new else HTTPStatus.OK))


@put("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def update_check(
    engine: NamedDependency[Engine],
    author: NamedDependency[Author],
    key: FromPath[UUID],
    data: JSONBody[CorrectedCheck],
) -> Check:
    """Correct a check. Its status moves as the flow moves it: an open one is cancelled, a closed one asked again."""
    check = await _found(engine.store, key)
    if data.status is not msgspec.UNSET and data.status is not check.status:
        await _move(engine, author, key, data.status)  # first: where it is refused nothing is changed
    if data.max_retries is not msgspec.UNSET:
        await correct_max_retries(engine.store, key, author, data.max_retries)
    return await _found(engine.store, key)


async def _move(engine: Engine, author: Author, key: UUID, status: CheckStatus) -> None:
    if status is CheckStatus.CANCELLED:
        await cancel(engine.store, key, author)
    elif status is CheckStatus.PENDING:
        await engine.retry([key], author)
    else:
        raise ConflictError(f"nobody but the flow makes a check {status}; set it to cancelled, or to pending again")


@post(
    "/{key:str}/retry",
    opt=needs(AccessRole.ANALYST),
    status_code=HTTPStatus.OK,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def retry_check(engine: NamedDependency[Engine], author: NamedDependency[Author], key: FromPath[UUID]) -> Check:
    """Have a closed check asked once more. What it shows then replaces its verdict only if it says more."""
    await engine.retry([key], author)
    return await _found(engine.store, key)


@post(
    "/{key:str}/cancel",
    opt=needs(AccessRole.OPERATOR),
    status_code=HTTPStatus.OK,
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def cancel_check(store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID]) -> Check:
    """Close an open check; what is answered later changes nothing.

    It has no verdict then, but for one that was asked again: that goes back to the verdict it had.
    """
    await cancel(store, key, author)
    return await _found(store, key)


@delete("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def delete_check(
    store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID], *, cascade: Cascade = False
) -> None:
    """Delete a check; with verdicts only if they are meant."""
    await remove_check(store, key, author, cascade=cascade)


async def _found(store: Store, key: UUID) -> Check:
    async with store.glance() as uow:
        row = await uow.checks.get(key)
    if row is None:
        raise NotFoundError("there is no check with this id")
    return msgspec.convert(columns(row), Check)


async def _listed(store: Store, paging: Paging, wanted: CheckFilter, order: CheckOrder = CheckOrder.NEWEST) -> Checks:
    async with store.glance() as uow:
        page = await uow.checks.list(paging, wanted, order)
    return listing(page, Checks)


router = Router(
    "/detections/executions",
    route_handlers=[
        list_checks,
        list_checks_of_execution,
        list_checks_of_operation,
        list_pending_checks,
        list_failed_checks,
        list_retryable_checks,
        get_check,
        create_check,
        update_check,
        retry_check,
        cancel_check,
        delete_check,
    ],
    dependencies={"wanted": Provide(check_filter, sync_to_thread=False)},
    tags=["checks"],
)
