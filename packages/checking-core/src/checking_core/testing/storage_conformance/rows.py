"""What the rules of the store are tried on: messages, checks and results, plausible in every column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import sqlalchemy as sa

from checking_core.contracts import (
    Agent,
    Answer,
    CheckStatus,
    Clock,
    ExecutionFacts,
    Expect,
    LinkMessage,
    LinkState,
    MatchTier,
    MessageType,
    Met,
    OperationFacts,
    Outcome,
    Prevention,
    Procedure,
    Reason,
    RunState,
    check_id_of,
    execution_id_of,
    task_id_of,
)
from checking_core.storage import Store
from checking_core.storage.tables import detection_executions, execution_results

__all__ = [
    "LEASE",
    "START",
    "MovableClock",
    "Row",
    "accept",
    "add",
    "answer",
    "at",
    "check_row",
    "claim",
    "dump",
    "execution_id",
    "link_message",
    "not_run",
    "operation_message",
    "plan",
    "planned",
    "release",
    "result_row",
    "settle",
    "statuses",
    "stored_checks",
]

Row = dict[str, Any]

START = datetime(2026, 11, 20, 19, 0, tzinfo=UTC)
LEASE = 60.0
_RUN = {LinkState.SUCCESS: RunState.RAN, LinkState.ERROR: RunState.FAILED, LinkState.TIMEOUT: RunState.TIMED_OUT}


def at(seconds: float) -> datetime:
    """So many seconds after the start of the story."""
    return START + timedelta(seconds=seconds)


class MovableClock:
    """A time that stands still until somebody moves it."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        """The time, as ``Store`` asks for it."""
        return self.now

    def move_to(self, seconds: float) -> None:
        """Go to so many seconds after the start of the story."""
        self.now = at(seconds)


def operation_message(operation_id: UUID, *, told: float, state: str | None, name: str = "") -> LinkMessage:
    """A message about the operation itself, told so many seconds after the start."""
    return LinkMessage(
        message_type=MessageType.OPERATION_STATE,
        timestamp=at(told),
        operation=OperationFacts(operation_id=operation_id, source="caldera", name=name, state=state),
    )


def link_message(
    operation_id: UUID,
    link: int = 0,
    *,
    told: float = 10.0,
    finished: float | None = 5.0,
    state: LinkState = LinkState.SUCCESS,
    raw: str = "",
    operation: Row | None = None,
    **facts: Any,
) -> LinkMessage:
    """A result of the operation's link with this number; times in seconds after the start."""
    known: Row = {
        "agent_host": "ws01.corp.example",
        "agent_paw": "tgtaaa",
        "agent": Agent(ips=("10.0.0.7",), user="CORP\\svc", pid=4711, exe_name="splunkd.exe"),
        "command": f"whoami /all {link}",
        "plaintext_command": f"whoami /all {link}",
        "executor": "psh",
        "platform": "windows",
        "pid": 22,
        "status": 0,
        "procedure": Procedure(
            id="c0da588f", name="Who am I", tactic="discovery", technique_id="T1033", fingerprint="f" * 32
        ),
        "started_at": at(1.25),
        "agent_reported_time": at(4),
        "clock": Clock.SERVER,
        "result_data": {"stdout": "corp\\svc\n", "stderr": "", "exit_code": "0"},
    }
    return LinkMessage(
        message_type=MessageType.LINK_RESULT,
        timestamp=at(told),
        operation=OperationFacts(operation_id=operation_id, source="caldera", **{"name": "Red", **(operation or {})}),
        execution=ExecutionFacts(
            link_id=uuid5(operation_id, f"link {link}"),
            link_state=state,
            run_state=_RUN.get(state, RunState.LOST),
            finished_at=None if finished is None else at(finished),
            **{**known, **facts},
        ),
        raw=raw or f"{link} told at {told}: {state}, finished at {finished}",
    )


def execution_id(message: LinkMessage) -> UUID:
    """The row id of the execution that a message tells of."""
    assert message.execution is not None
    return execution_id_of(message.operation.operation_id, message.execution.link_id)


def check_row(message: LinkMessage, *, backend: str = "splunk", due: float = 0.0, lease: float = LEASE) -> Row:
    """A planned check of the message's execution, due so many seconds after the start."""
    check_id = check_id_of(execution_id(message), backend, "lsass")
    return {
        "id": check_id,
        "execution_result_id": execution_id(message),
        "operation_id": message.operation.operation_id,
        "expectation_id": "lsass",
        "detection_type": "api",
        "detection_platform": backend,
        "detection_config": {"alert": {"rule": "LSASS dump"}, "telemetry": {"query": 'index=win "*comsvcs*"'}},
        "expect": Expect.ALERTED,
        "status": CheckStatus.PENDING,
        "outcome": Outcome.PENDING,
        "look": 1,
        "dispatches": 0,
        "available_at": at(due),
        "deadline": at(1200),
        "lease_until": None,
        "task_id": task_id_of(check_id, 1),
        "retry_count": 0,
        "max_retries": 1,
        "started_at": None,
        "completed_at": None,
        "execution_metadata": {"lease": lease, "looks": []},
        "created_at": START,
    }


def not_run(row: Row) -> Row:
    """The same check, planned for an execution that never ran."""
    closed = {"status": CheckStatus.COMPLETED, "outcome": Outcome.NOT_RUN, "completed_at": START}
    return {**row, **closed, "available_at": START, "execution_metadata": {"lease": LEASE, "note": "never ran"}}


def result_row(check: Any, outcome: Outcome = Outcome.ALERTED, **columns: Any) -> Row:
    """A worker's final answer to the current look of a check."""
    return {
        "id": check["task_id"],
        "task_id": check["task_id"],
        "detection_execution_id": check["id"],
        "look": check["look"],
        "detected": outcome is Outcome.ALERTED,
        "prevention": Prevention.NOT_ASKED,
        "alert": Answer.YES if outcome is Outcome.ALERTED else Answer.NO,
        "rule": Answer.NOT_ASKED,
        "telemetry": Answer.UNKNOWN,
        "alive": Answer.YES,
        "outcome": outcome,
        "reason": Reason.MATCHED_ALERT,
        "met": Met.YES,
        "match_tier": MatchTier.PROCESS,
        "late": False,
        "ambiguous": False,
        "in_control_window": False,
        "tooling": False,
        "overridden": False,
        "lift": None,
        "event_at": at(2.5),
        "indexed_at": at(3),
        "alert_at": at(30.000001),
        "seen_at": at(60),
        "time_to_detect_s": 28.750001,
        "censored": False,
        "query_sent": "index=win host=ws01",
        "searched_from": at(-30),
        "searched_to": at(900),
        "result_timestamp": at(60),
        "result_source": "splunk@worker-1",
        "raw_response": {"results": [{"_cd": "7:42"}]},
        "parsed_results": {"evidence": [{"kind": "alert", "id": "7:42"}]},
        "metadata": None,
        **columns,
    }


def answer(check_id: UUID) -> Row:
    """The columns that change when a check gets its verdict."""
    return {"id": check_id, "status": CheckStatus.COMPLETED, "outcome": Outcome.ALERTED, "completed_at": at(60)}


async def accept(store: Store, messages: Sequence[LinkMessage]) -> dict[UUID, int]:
    """Store operations and executions; the revisions that were written."""
    async with store.begin() as uow:
        await uow.operations.accept_batch(messages)
        return await uow.executions.accept_batch([message for message in messages if message.execution is not None])


async def plan(store: Store, rows: Sequence[Row]) -> set[UUID]:
    """Store checks; which were written."""
    async with store.begin() as uow:
        return await uow.checks.plan_batch(rows)


async def claim(
    store: Store, *, limit: int = 100, max_in_flight: Callable[[str], int] = lambda _: 100
) -> Sequence[UUID]:
    """Claim due checks."""
    async with store.begin() as uow:
        return [row["id"] for row in await uow.checks.claim_due(limit=limit, max_in_flight=max_in_flight)]


async def settle(store: Store, *rows: Row) -> None:
    """Change checks."""
    async with store.begin() as uow:
        await uow.checks.lock([row["id"] for row in rows])
        await uow.checks.settle_batch(rows)


async def release(store: Store, ids: Sequence[UUID], *, due: float) -> None:
    """Give checks back, due again so many seconds after the start."""
    rows = [{"id": key, "available_at": at(due), "execution_metadata": {"lease": LEASE, "n": 2}} for key in ids]
    async with store.begin() as uow:
        await uow.checks.release_batch(rows)


async def add(store: Store, *rows: Row) -> None:
    """Store results."""
    async with store.begin() as uow:
        await uow.results.add_batch(rows)


async def planned(
    store: Store, count: int, *, backend: str = "splunk", due: Iterable[float] = (), lease: float = LEASE
) -> list[UUID]:
    """Store an operation of so many executions with one check each; the checks' ids, in the order of ``due``."""
    operation_id = uuid4()
    messages = [link_message(operation_id, link) for link in range(count)]
    times = list(due) or [0.0] * count
    rows = [
        check_row(message, backend=backend, due=time, lease=lease)
        for message, time in zip(messages, times, strict=True)
    ]
    await accept(store, messages)
    await plan(store, rows)
    return [row["id"] for row in sorted(rows, key=lambda row: row["available_at"])]


async def stored_checks(store: Store, ids: Sequence[UUID]) -> list[sa.RowMapping]:
    """The rows of checks, in the order of the ids."""
    found = await dump(store, detection_executions)
    return [found[key] for key in ids]


async def statuses(store: Store, ids: Sequence[UUID]) -> list[CheckStatus]:
    """Where checks stand, in the order of the ids."""
    return [row["status"] for row in await stored_checks(store, ids)]


async def dump(store: Store, table: sa.Table = execution_results) -> dict[UUID, sa.RowMapping]:
    """Every row of a table by its id."""
    async with store.read() as uow:
        rows = (await uow.connection.execute(sa.select(table))).mappings().all()
    return {row["id"]: row for row in rows}
