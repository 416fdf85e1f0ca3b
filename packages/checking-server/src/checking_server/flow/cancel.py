"""A person wants no answer any more: an open check is closed, and what comes later changes nothing."""

from __future__ import annotations

from uuid import UUID

import structlog

from checking_core.contracts import CheckStatus, Outcome, Reason
from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Store, UnitOfWork
from checking_core.storage.audit import Author
from checking_server.flow.noted import note_check
from checking_server.flow.rows import BY_ENGINE, BY_PERSON, Row, closed_check, engine_result, is_open, seen_by

__all__ = ["cancel"]

log = structlog.get_logger(__name__)


async def cancel(store: Store, check_id: UUID, author: Author) -> None:
    """Close an open check as cancelled. One that was seen by an earlier look keeps that verdict in its history.

    A closed check that was asked again goes back to the verdict it had, or to a better one that was seen meanwhile:
    that somebody asked takes nothing away.

    Args:
        store: where it is.
        check_id: which.
        author: who wants it, for the audit log.

    Raises:
        NotFoundError: there is no such check.
        ConflictError: it is closed already.
        StoreUnavailableError: nothing was changed.
    """
    async with store.begin() as uow:
        check = (await uow.checks.lock([check_id])).get(check_id)
        if check is None:
            raise NotFoundError(f"no check has the id {check_id}")
        if not is_open(check["status"]):
            raise ConflictError(f"check {check_id} is {check['status']} already: {check['outcome']}")
        closed = await _closed(uow, check)
        await note_check(uow, author, "cancel", check, closed)
    log.info("cancelled", check=str(check_id))


async def _closed(uow: UnitOfWork, check: Row) -> Row:
    if check["execution_metadata"].get("stood") and (verdict := seen_by(check)):
        closed = closed_check(check, verdict, uow.now, closed_by=BY_PERSON)
    else:
        closed = closed_check(check, Outcome.INCONCLUSIVE, uow.now, closed_by=BY_ENGINE)
        closed["status"] = CheckStatus.CANCELLED
        await uow.results.add_batch([engine_result(check, Outcome.INCONCLUSIVE, Reason.CANCELLED, uow.now)])
    await uow.checks.settle_batch([closed])
    return closed
