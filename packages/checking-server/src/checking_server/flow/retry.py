"""A person has closed checks asked once more. Their verdicts stand unless the new answer says more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from checking_core.contracts import Outcome
from checking_core.errors import ConflictError, NotFoundError
from checking_core.storage import Store
from checking_core.storage.audit import Author
from checking_server.flow.noted import note_check
from checking_server.flow.rows import Row, is_open, next_look_row

__all__ = ["retry"]

log = structlog.get_logger(__name__)


async def retry(store: Store, check_ids: Sequence[UUID], author: Author, *, on_due: Callable[[], None]) -> None:
    """Schedule the next look of closed checks for now; all of them or none.

    Args:
        store: where they are.
        check_ids: which.
        author: who wants it, for the audit log.
        on_due: called after the commit.

    Raises:
        NotFoundError: there is no such check.
        ConflictError: one waits for its verdict anyway, or was closed because there was nothing to ask.
        StoreUnavailableError: nothing was changed.
    """
    async with store.begin() as uow:
        checks = await uow.checks.lock(check_ids)
        for check_id in check_ids:
            _refuse(check_id, checks.get(check_id))
        verdicts = {row["detection_execution_id"]: row for row in await uow.results.current(list(checks))}
        opened = [_opened(check, verdicts.get(key), uow.now) for key, check in checks.items()]
        await uow.checks.settle_batch(opened)
        for row in opened:
            await note_check(uow, author, "retry", checks[row["id"]], row)
    on_due()
    log.info("retried", checks=len(checks))


def _refuse(check_id: UUID, check: Row | None) -> None:
    if check is None:
        raise NotFoundError(f"no check has the id {check_id}")
    if is_open(check["status"]):
        raise ConflictError(f"check {check_id} is open: its next look is scheduled already")
    if "closed_by" not in check["execution_metadata"]:
        raise ConflictError(
            f"check {check_id} is {check['outcome']}: there was nothing to ask, so nothing to ask again"
        )


def _opened(check: Row, verdict: Row | None, now: datetime) -> Row:
    """Of a doubt nothing has to stand."""
    noted: Row = {"seen": None, "seen_at": None, "stands": None, "stood": False}
    if check["outcome"] is not Outcome.INCONCLUSIVE and verdict is not None:
        noted = {
            "seen": check["outcome"],
            "seen_at": verdict["seen_at"] and verdict["seen_at"].isoformat(),
            "stands": {"tier": verdict["match_tier"], "alert": verdict["alert"]},
            "stood": True,
        }
    return next_look_row(check, now, retried_at=now.isoformat(), **noted)
