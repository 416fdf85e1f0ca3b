"""Results (detection results): the verdicts that checks were given; the newest of a check is the current one."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, JSONBody, QueryParameter

from checking_core.contracts import AccessRole
from checking_core.errors import NotFoundError
from checking_core.storage import Paging, Store
from checking_core.storage.audit import Author
from checking_core.storage.filters import Detected, ResultFilter, ResultOrder
from checking_server.api.filters import result_filter
from checking_server.api.guards import needs
from checking_server.api.listing import Hours, columns, listing
from checking_server.api.problems import problems
from checking_server.api.schemas import Result, Results
from checking_server.api.statistics import ResultSummary, summary_of
from checking_server.api.wanted import CorrectedResult, WantedOverride, WantedResult
from checking_server.flow.correct import correct_note
from checking_server.flow.override import decide, override
from checking_server.flow.remove import remove_result
from checking_server.kept import Kept

__all__ = ["router"]


@get("/", responses=problems())
async def list_results(
    store: NamedDependency[Store],
    paging: NamedDependency[Paging],
    wanted: NamedDependency[ResultFilter],
    sort: Annotated[
        ResultOrder, QueryParameter(description="Order; a minus before it for the greatest first")
    ] = ResultOrder.NEWEST,
) -> Results:
    """Results, newest first."""
    return await _listed(store, paging, wanted, sort)


@get("/by-execution/{check:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_results_of_check(
    store: NamedDependency[Store], paging: NamedDependency[Paging], check: FromPath[UUID]
) -> Results:
    """Every result of one check (detection execution), the current one first."""
    async with store.glance() as uow:
        if await uow.checks.get(check) is None:
            raise NotFoundError("there is no check with this id")
    return await _listed(store, paging, ResultFilter(check_id=check))


@get("/detected/list", responses=problems())
async def list_detected_results(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Results:
    """Results with an alert or a matching rule, newest first."""
    return await _listed(store, paging, ResultFilter(detected=Detected.YES))


@get("/not-detected/list", responses=problems())
async def list_not_detected_results(store: NamedDependency[Store], paging: NamedDependency[Paging]) -> Results:
    """Results whose alert or rule is a proven no, newest first."""
    return await _listed(store, paging, ResultFilter(detected=Detected.NO))


@get("/recent/{hours:int}", responses=problems(HTTPStatus.NOT_FOUND))
async def list_recent_results(store: NamedDependency[Store], paging: NamedDependency[Paging], hours: Hours) -> Results:
    """Results of the last hours, newest first."""
    async with store.glance() as uow:
        since = uow.now - timedelta(hours=hours)
    return await _listed(store, paging, ResultFilter(since=since))


@get("/stats/summary", responses=problems())
async def summarize_results(
    store: NamedDependency[Store], kept: NamedDependency[Kept], wanted: NamedDependency[ResultFilter]
) -> ResultSummary:
    """Verdicts by what they say and why."""
    return await summary_of(store, kept, wanted)


@get("/{key:str}", responses=problems(HTTPStatus.NOT_FOUND))
async def get_result(store: NamedDependency[Store], key: FromPath[UUID]) -> Result:
    """One result by its ``id``, with what the backend answered."""
    return await _found(store, key)


@post("/", opt=needs(AccessRole.ANALYST), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def create_result(
    store: NamedDependency[Store], author: NamedDependency[Author], data: JSONBody[WantedResult]
) -> Result:
    """Close an open check with your own verdict; what is answered later changes nothing. A closed one is overridden."""
    key = await decide(store, data.detection_execution_id, data.outcome, author, note=data.note)
    return await _found(store, key)


@post(
    "/{key:str}/override",
    opt=needs(AccessRole.ANALYST),
    responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
async def override_result(
    store: NamedDependency[Store],
    author: NamedDependency[Author],
    key: FromPath[UUID],
    data: JSONBody[WantedOverride],
) -> Result:
    """Replace the current verdict of a closed check by your own; what was said before stays in its history."""
    return await _found(store, await override(store, key, data.outcome, author, note=data.note))


@put("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND))
async def update_result(
    store: NamedDependency[Store],
    author: NamedDependency[Author],
    key: FromPath[UUID],
    data: JSONBody[CorrectedResult],
) -> Result:
    """Correct what is noted beside a verdict. What it says is history: only another verdict replaces it."""
    await correct_note(store, key, author, data.note)
    return await _found(store, key)


@delete("/{key:str}", opt=needs(AccessRole.ADMIN), responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def delete_result(store: NamedDependency[Store], author: NamedDependency[Author], key: FromPath[UUID]) -> None:
    """Delete a verdict that another one has replaced; the current one of a check stays as long as the check."""
    await remove_result(store, key, author)


async def _found(store: Store, key: UUID) -> Result:
    async with store.glance() as uow:
        row = await uow.results.get(key)
    if row is None:
        raise NotFoundError("there is no result with this id")
    return msgspec.convert(columns(row), Result)


async def _listed(
    store: Store, paging: Paging, wanted: ResultFilter, order: ResultOrder = ResultOrder.NEWEST
) -> Results:
    async with store.glance() as uow:
        page = await uow.results.list(paging, wanted, order)
    return listing(page, Results)


router = Router(
    "/detections/results",
    route_handlers=[
        list_results,
        list_results_of_check,
        list_detected_results,
        list_not_detected_results,
        list_recent_results,
        summarize_results,
        get_result,
        create_result,
        override_result,
        update_result,
        delete_result,
    ],
    dependencies={"wanted": Provide(result_filter, sync_to_thread=False)},
    tags=["results"],
)
