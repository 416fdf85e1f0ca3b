"""A person decides: their verdict is a new result of the check, and what was said before stays in history."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from checking_core.contracts import Outcome, Reason
from checking_core.errors import ConflictError, NotFoundError
from checking_core.matching.judge import axes_decided, detected_of, met_of
from checking_core.storage import Store, UnitOfWork
from checking_core.storage.audit import Author
from checking_server.flow.attribute import attribute
from checking_server.flow.noted import note_check
from checking_server.flow.rows import BY_PERSON, Row, axes_of, closed_check, decided_result, engine_result, is_open

__all__ = ["decide", "override"]

log = structlog.get_logger(__name__)

_SHOWS = (Outcome.BLOCKED, Outcome.ALERTED, Outcome.MATCHED, Outcome.LOGGED)


async def override(store: Store, result_id: UUID, outcome: Outcome, author: Author, *, note: str) -> UUID:
    """Replace the current verdict of a closed check by a person's own.

    What it rested on is nobody's any more if it shows nothing now: another check may have it alone.

    Args:
        store: where it is.
        result_id: the verdict that is wrong, as its reader saw it.
        outcome: what it should be.
        author: who decides.
        note: why.

    Returns:
        The id of the new result.

    Raises:
        NotFoundError: there is no such result.
        ConflictError: the check is open, has another verdict by now, or the outcome is none that a person gives.
        StoreUnavailableError: nothing was changed.
    """
    async with store.begin() as uow:
        check, current = await _held(uow, result_id)
        _refuse(check, current, result_id, outcome)
        row = {**_decided(check, current, outcome, uow.now), "result_source": author.name}
        closed = closed_check(check, outcome, uow.now, closed_by=BY_PERSON)
        await uow.checks.settle_batch([closed])
        await uow.results.add_batch([{**row, "metadata": {"note": note, "overrides": str(result_id)}}])
        if outcome not in _SHOWS:
            await attribute(uow, {}, asked_before=[check["id"]])
        await note_check(uow, author, "override", check, closed, note=note)
    log.info("overridden", check=str(check["id"]), outcome=outcome)
    new: UUID = row["id"]
    return new


async def decide(store: Store, check_id: UUID, outcome: Outcome, author: Author, *, note: str) -> UUID:
    """Close an open check with a person's verdict; what is answered later changes nothing.

    Args:
        store: where it is.
        check_id: which.
        outcome: what its verdict is.
        author: who decides.
        note: why.

    Returns:
        The id of the new result.

    Raises:
        NotFoundError: there is no such check.
        ConflictError: it has a verdict, or the outcome is none that a person gives.
        StoreUnavailableError: nothing was changed.
    """
    async with store.begin() as uow:
        check = (await uow.checks.lock([check_id])).get(check_id)
        if check is None:
            raise NotFoundError(f"no check has the id {check_id}")
        seen = await uow.results.current([check_id])
        if not is_open(check["status"]):
            raise ConflictError(f"the check has a verdict already; override result {seen[0]['id']}")
        _refuse_no_verdict(outcome)
        nothing = {**engine_result(check, outcome, Reason.OVERRIDDEN, uow.now), "created_at": uow.now}
        row = _decided(check, seen[0] if seen else nothing, outcome, uow.now)
        closed = closed_check(check, outcome, uow.now, closed_by=BY_PERSON)
        await uow.checks.settle_batch([closed])
        await uow.results.add_batch([{**row, "result_source": author.name, "metadata": {"note": note}}])
        await note_check(uow, author, "decide", check, closed, note=note)
    log.info("decided", check=str(check_id), outcome=outcome)
    new: UUID = row["id"]
    return new


async def _held(uow: UnitOfWork, result_id: UUID) -> tuple[Row, Row]:
    """The check of a result, locked, and its current one."""
    found = await uow.results.get(result_id)
    checks = await uow.checks.lock([found["detection_execution_id"]]) if found is not None else {}
    if not checks:
        raise NotFoundError(f"no result has the id {result_id}")
    (check,) = checks.values()
    (current,) = await uow.results.current([check["id"]])
    return check, current


def _decided(check: Row, current: Row, outcome: Outcome, now: datetime) -> dict[str, Any]:
    axes = axes_decided(outcome, axes_of(current))
    return {
        **decided_result(current, axes, now),
        "id": uuid7(),
        "outcome": outcome,
        "reason": Reason.OVERRIDDEN,
        "detected": detected_of(axes),
        "met": met_of(check["expect"], outcome, axes)[0],
    }


def _refuse(check: Row, current: Row, result_id: UUID, outcome: Outcome) -> None:
    if is_open(check["status"]):
        raise ConflictError("the check is open: wait for its verdict, or cancel it first")
    if current["id"] != result_id:
        raise ConflictError(f"the check has another verdict by now: result {current['id']}")
    _refuse_no_verdict(outcome)


def _refuse_no_verdict(outcome: Outcome) -> None:
    if outcome in (Outcome.PENDING, Outcome.NOT_RUN):
        raise ConflictError(f"{outcome} is no verdict that a person gives")
