"""The timer: leases that ran out are dispatched again, a bounded number of times, then closed as lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import structlog

from checking_core.contracts import Outcome, Reason
from checking_core.storage import Store
from checking_server.flow.rows import BY_ENGINE, Row, closed_check, engine_result

__all__ = ["Expire"]

log = structlog.get_logger(__name__)


class Expire:
    """Takes tasks back from workers that never answered.

    Args:
        store: where the checks are.
        batch_size: checks of one transaction.
        max_dispatches: how often one look is sent before its worker counts as lost.
        on_due: called after a commit that left checks to dispatch.
    """

    def __init__(self, store: Store, *, batch_size: int, max_dispatches: int, on_due: Callable[[], None]) -> None:
        self._store = store
        self._batch_size = batch_size
        self._max_dispatches = max_dispatches
        self._on_due = on_due

    async def __call__(self) -> int:
        """Handle one batch of leases that ran out; how many there were. Raises ``StoreUnavailableError``."""
        async with self._store.begin() as uow:
            checks = await uow.checks.leases_run_out(self._batch_size)
            lost = [check for check in checks if self._is_lost(check)]
            again = [check for check in checks if not self._is_lost(check)]
            await uow.checks.release_batch([_available(check, uow.now) for check in again])
            await uow.checks.settle_batch(
                [closed_check(check, Outcome.INCONCLUSIVE, uow.now, closed_by=BY_ENGINE) for check in lost]
            )
            await uow.results.add_batch(
                [engine_result(check, Outcome.INCONCLUSIVE, Reason.WORKER_LOST, uow.now) for check in lost]
            )
        if again:
            self._on_due()
        if checks:
            log.warning("leases_ran_out", again=len(again), lost=len(lost))
        return len(checks)

    async def idle_seconds(self) -> float:
        """Leases are long: the poll interval is soon enough."""
        return math.inf

    def _is_lost(self, check: Row) -> bool:
        dispatches: int = check["dispatches"]
        return dispatches >= self._max_dispatches


def _available(check: Row, now: Any) -> dict[str, Any]:
    return {"id": check["id"], "available_at": now, "execution_metadata": check["execution_metadata"]}
