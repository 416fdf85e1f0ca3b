"""Checks that nobody answers any more are closed by the engine itself."""

from __future__ import annotations

from collections.abc import Sequence

from checking_core.contracts import Outcome, Reason
from checking_core.storage import UnitOfWork
from checking_server.flow.rows import BY_ENGINE, Row, closed_check, engine_result, seen_by

__all__ = ["give_up"]


async def give_up(uow: UnitOfWork, checks: Sequence[Row], reason: Reason) -> None:
    """Close checks that the transaction has locked; a genuine answer that comes later still replaces that.

    They are inconclusive, but for those of which an earlier look saw something: its verdict, stored already, stands.
    """
    closed = [
        closed_check(check, seen_by(check) or Outcome.INCONCLUSIVE, uow.now, closed_by=BY_ENGINE) for check in checks
    ]
    results = [engine_result(check, Outcome.INCONCLUSIVE, reason, uow.now) for check in checks if not seen_by(check)]
    await uow.checks.settle_batch(closed)
    await uow.results.add_batch(results)
