"""A no that was given before its execution had ended is no verdict: the check is opened and asked again."""

from __future__ import annotations

from collections.abc import Sequence

from checking_core.contracts import Outcome
from checking_core.storage import UnitOfWork
from checking_server.flow.rows import BY_WORKER, Row, next_look_row

__all__ = ["ask_again"]

_RESTS_ON_A_NO = (Outcome.NONE, Outcome.NO_ALERT, Outcome.LOGGED)


async def ask_again(uow: UnitOfWork, planned: Sequence[Row]) -> int:
    """Open the checks among these whose deadline has moved beyond the look that closed them; how many there were.

    A command may be asked about before its end is known. The verdicts that were given stay in history.

    Args:
        uow: the transaction that revised their executions.
        planned: rows of open checks, as they are planned now.
    """
    plans = {row["id"]: row for row in planned}
    held = await uow.checks.lock(list(plans)) if plans else {}
    early = [(check, plans[check["id"]]) for check in held.values() if _came_early(check, plans[check["id"]])]
    await uow.checks.settle_batch([_opened(check, plan) for check, plan in early])
    return len(early)


def _came_early(check: Row, plan: Row) -> bool:
    answered = check["execution_metadata"].get("closed_by") == BY_WORKER and check["outcome"] in _RESTS_ON_A_NO
    return answered and bool(check["completed_at"] < plan["deadline"])


def _opened(check: Row, plan: Row) -> Row:
    seen = check["outcome"] if check["outcome"] is Outcome.LOGGED else None
    opened = next_look_row(check, plan["available_at"], seen=seen, seen_at=None, stands=None, stood=False)
    return {**opened, "deadline": plan["deadline"]}
