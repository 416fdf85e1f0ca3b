"""Station 4: a result closes its check, or schedules the next look. Applied once, however often it arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
import structlog

from checking_core.contracts import (
    Answer,
    DetectionResult,
    EvidenceClaim,
    EvidenceKind,
    Expect,
    Outcome,
    Prevention,
    Timing,
    decode_result,
)
from checking_core.errors import RejectedMessageError
from checking_core.matching.judge import original_verdict, outranks
from checking_core.matching.looks import next_look
from checking_core.matching.upgrade import outlasts
from checking_core.storage import Store, UnitOfWork
from checking_core.transport.base import Message
from checking_server.flow.attribute import attribute
from checking_server.flow.bisect import bisected
from checking_server.flow.rows import (
    BY_WORKER,
    Row,
    awaits,
    closed_check,
    due_first,
    next_look_row,
    seen_by,
    stands_of,
    waits_since,
    worker_result,
)
from checking_server.metrics import Metrics

__all__ = ["Gather", "Gathered"]

log = structlog.get_logger(__name__)

_KEPT_LOOKS = 20
_PROOF = {
    Outcome.BLOCKED: EvidenceKind.ALERT,
    Outcome.ALERTED: EvidenceKind.ALERT,
    Outcome.MATCHED: EvidenceKind.MATCH,
    Outcome.LOGGED: EvidenceKind.EVENT,
}
"""The kind of record that each headline rests on."""
_NO_ANSWER = (Outcome.PENDING, Outcome.NOT_RUN)
"""What only the engine knows of a check. As an answer they would leave it open, to be asked for ever."""


class Gathered(StrEnum):
    """What a result changed."""

    CLOSED = "closed"
    LOOK_AGAIN = "look_again"
    REPEATED = "repeated"


class Gather:
    """Applies results.

    Args:
        store: where the checks are.
        patience: how long after acceptance an outage of the backend is waited for.
        on_due: called after a commit: capacity is free again, or a look was scheduled.
        metrics: is told of every look.
    """

    def __init__(
        self, store: Store, *, patience: timedelta, on_due: Callable[[], None], metrics: Metrics | None = None
    ) -> None:
        self._store = store
        self._patience = patience
        self._on_due = on_due
        self._metrics = metrics or Metrics()

    async def __call__(self, messages: Sequence[Message]) -> list[Gathered | RejectedMessageError]:
        """Apply results; the answers stand in their order.

        Raises:
            StoreUnavailableError: nothing is known to be stored; give the same results again.
        """
        read = [_read(message.body) for message in messages]
        results = [result for result in read if isinstance(result, DetectionResult)]
        answers = iter(await bisected(self._commit, results))
        return [next(answers) if isinstance(result, DetectionResult) else result for result in read]

    async def _commit(self, results: Sequence[DetectionResult]) -> Sequence[Gathered | RejectedMessageError]:
        if not results:
            return []
        async with self._store.begin() as uow:
            checks = await uow.checks.lock([result.detection_execution_id for result in results])
            batch = _Batch(checks, uow.now, self._patience)
            answers = [batch.apply(result) for result in results]
            await batch.write(uow)
        self._on_due()
        for backend, result in batch.looks:
            self._metrics.look(backend, result)
        log.info("gathered", results=len(results), closed=answers.count(Gathered.CLOSED))
        return answers


class _Batch:
    """The decisions of one transaction; a check that occurs twice sees what the first occurrence decided."""

    def __init__(self, checks: Mapping[UUID, Row], now: datetime, patience: timedelta) -> None:
        self._checks = dict(checks)
        self._now = now
        self._patience = patience
        self._changed: dict[UUID, dict[str, Any]] = {}
        self._results: list[dict[str, Any]] = []
        self._claims: dict[UUID, list[dict[str, Any]]] = {}
        self._asked_before: set[UUID] = set()
        self.looks: list[tuple[str, DetectionResult]] = []

    def apply(self, result: DetectionResult) -> Gathered | RejectedMessageError:
        check = self._checks.get(result.detection_execution_id)
        if check is None:
            return RejectedMessageError("detection_execution_id", "names no check of this store")
        if not awaits(check, result.id):
            return Gathered.REPEATED
        if result.outcome in _NO_ANSWER:
            return RejectedMessageError("outcome", f"is {result.outcome}, which no worker can conclude from an answer")
        if result.outcome is None:
            result = original_verdict(result, deadline_passed=due_first(check) >= check["deadline"])
        elif self._now < check["deadline"] and (_denies(result) or _may_still_be_blocked(check, result)):
            result = msgspec.structs.replace(result, final=False)
        self.looks.append((check["detection_platform"], result))
        due = None if result.final else self._next_look(check, _retry_after(result))
        if due is None:
            return self._close(check, result)
        return self._look_again(check, result, due)

    def _next_look(self, check: Row, retry_after: float) -> datetime | None:
        timing = msgspec.convert(check["execution_metadata"]["timing"], Timing)
        ended = check["execution_finished_at"] or check["execution_started_at"]
        return next_look(
            check["look"],
            timing,
            ended,
            waits_since(check),
            self._now,
            due=due_first(check),
            patience=self._patience,
            retry_after=retry_after,
        )

    def _close(self, check: Row, result: DetectionResult) -> Gathered:
        """Close with what this look saw or, if an earlier one saw more, with that: its result is stored already."""
        outcome, seen = _outcome(result), seen_by(check)
        if seen is not None and _stands(check, seen, result):
            outcome = seen
        else:
            self._keep(check, result)
        change = closed_check(check, outcome, self._now, looks=_looks(check, result), closed_by=BY_WORKER)
        self._write(check, {**_unmoved(check), **change, "retry_count": result.retry_count})
        return Gathered.CLOSED

    def _look_again(self, check: Row, result: DetectionResult, due: datetime) -> Gathered:
        noted: dict[str, Any] = {"looks": _looks(check, result)}
        if outranks(_outcome(result), seen_by(check) or Outcome.INCONCLUSIVE):
            self._keep(check, result)
            noted |= {"seen": _outcome(result), "seen_at": self._now.isoformat(), "stands": None}
        self._write(check, {**next_look_row(check, due, **noted), "retry_count": result.retry_count})
        return Gathered.LOOK_AGAIN

    def _keep(self, check: Row, result: DetectionResult) -> None:
        """Store a verdict, and what it rests on."""
        row = worker_result(check, result, self._now)
        self._results.append({**row, "created_at": _after_close(check, self._now)})
        self._claims[check["id"]] = [
            {
                "backend": check["detection_platform"],
                "record_id": claim.record_id,
                "check_id": check["id"],
                "tier": claim.tier,
                "shared": claim.shared,
                "decisive": _decides(claim, result),
            }
            for claim in result.claims
        ]
        if check["look"] > 1:
            self._asked_before.add(check["id"])

    def _write(self, check: Row, change: dict[str, Any]) -> None:
        self._changed[check["id"]] = change
        self._checks[check["id"]] = {**check, **change}

    async def write(self, uow: UnitOfWork) -> None:
        await uow.checks.settle_batch(list(self._changed.values()))
        await uow.results.add_batch(self._results)
        await attribute(uow, self._claims, asked_before=self._asked_before)


def _read(body: bytes) -> DetectionResult | RejectedMessageError:
    try:
        return decode_result(body)
    except RejectedMessageError as error:
        return error


def _decides(claim: EvidenceClaim, result: DetectionResult) -> bool:
    """Whether the headline rests on this record; unknown in a plugin that does not tell what its records are."""
    return claim.kind is None or claim.kind is _PROOF.get(_outcome(result))


def _stands(check: Row, seen: Outcome, result: DetectionResult) -> bool:
    """Whether what was seen before stands against this answer: a verdict more firmly than the sight of one look."""
    if stands := stands_of(check):
        return outlasts(seen, stands.tier, _outcome(result), result.match_tier)
    return outranks(seen, _outcome(result))


def _denies(result: DetectionResult) -> bool:
    """Whether the outcome rests on a no."""
    unseen = result.outcome in (Outcome.NO_ALERT, Outcome.NONE)
    return unseen or (result.outcome is Outcome.LOGGED and Answer.NO in (result.alert, result.rule))


def _may_still_be_blocked(check: Row, result: DetectionResult) -> bool:
    """Whether the one thing that is wanted may be told by an alert to come, whatever those so far tell."""
    return check["expect"] is Expect.BLOCKED and result.prevention is Prevention.NOT_BLOCKED


def _after_close(check: Row, now: datetime) -> datetime:
    """Now, or just after the engine closed the check: its transaction may have begun later than this one."""
    closed = check["completed_at"]
    return now if closed is None else max(now, closed + timedelta(microseconds=1))


def _retry_after(result: DetectionResult) -> float:
    """For how many seconds the backend asked not to be asked. The metadata is whatever a worker wrote there."""
    told = result.result_metadata.get("retry_after")
    return float(told) if isinstance(told, int | float) and told > 0 else 0.0


def _outcome(result: DetectionResult) -> Outcome:
    assert result.outcome is not None  # noqa: S101 - original-style answers are judged first
    return result.outcome


def _unmoved(check: Row) -> dict[str, Any]:
    return {name: check[name] for name in ("look", "task_id", "available_at", "dispatches")}


def _looks(check: Row, result: DetectionResult) -> list[dict[str, Any]]:
    taken = {
        "look": check["look"],
        "at": result.started_at or result.result_timestamp,
        "outcome": result.outcome,
        "reason": result.reason,
        "final": result.final,
    }
    return [*check["execution_metadata"].get("looks", []), taken][-_KEPT_LOOKS:]
