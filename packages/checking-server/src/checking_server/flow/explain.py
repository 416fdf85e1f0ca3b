"""Stored rows into the explanation of a verdict. Reads only, one snapshot."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from checking_core.errors import NotFoundError
from checking_core.matching.tiers import RANK
from checking_core.report import Explanation, GivenVerdict, ReportLine, Rival, TakenLook
from checking_core.report.escape import shortened, visible
from checking_core.storage import Store, UnitOfWork
from checking_server.flow.report import find_operation
from checking_server.flow.reported import readable, reported_lines, reported_operation
from checking_server.flow.rows import Row

__all__ = ["explain", "find_checks"]

_SHORTEST_KEY = 4
_MOST_RIVALS = 20
_PREFIX = re.compile(r"[0-9a-f]{1,32}")


async def explain(store: Store, key: str, step: int | None = None) -> tuple[Explanation, ...]:
    """Why checks have the verdicts they have.

    Args:
        store: where the rows are.
        key: as for ``find_checks``.
        step: likewise.

    Raises:
        NotFoundError: as ``find_checks``.
        StoreUnavailableError: the database does not answer.
    """
    async with store.read() as uow:
        chosen = await find_checks(uow, key, step)
        operation_id = chosen[0]["operation_id"]
        operation = await uow.operations.get(operation_id)
        assert operation is not None  # noqa: S101 - a check is of an operation
        executions = await uow.executions.of_operation(operation_id)
        checks = {check["id"]: check for check in await uow.results.current_of_operation(operation_id)}
        lines = reported_lines(executions, list(checks.values()), uow.now)
        pids = {execution["id"]: execution["pid"] for execution in executions}
        wanted = {check["id"] for check in chosen}
        return tuple(
            [
                await _explained(uow, operation, line, checks[line.check.id], pids[line.execution.id])
                for line in lines
                if line.check is not None and line.check.id in wanted
            ]
        )


async def find_checks(uow: UnitOfWork, key: str, step: int | None = None) -> Sequence[Row]:
    """The checks that a person means, at least one, all of one operation.

    Args:
        uow: a transaction.
        key: a check's id or the beginning of it; with ``step``, what names an operation as for a report.
        step: number of the execution in the operation's report.

    Raises:
        NotFoundError: there is none, or the beginning is that of several; names them.
    """
    if step is not None:
        return await _of_step(uow, key, step)
    prefix = key.strip().lower().replace("-", "")
    if len(prefix) < _SHORTEST_KEY or not _PREFIX.fullmatch(prefix):
        raise NotFoundError(
            f"{_quoted(key)} is no check's id, nor {_SHORTEST_KEY} characters of its beginning; "
            "the checks of a step are named by two words: OPERATION STEP"
        )
    found = await uow.checks.between(UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f")), limit=6)
    if not found:
        raise NotFoundError(f"no check has an id that begins with {_quoted(key)}; checking report OPERATION shows them")
    if len(found) > 1:
        ids = ", ".join(str(row["id"]) for row in found[:5])
        raise NotFoundError(f"{_quoted(key)} begins the ids of several checks: {ids}{' ...' if len(found) > 5 else ''}")
    return found


async def _of_step(uow: UnitOfWork, key: str, step: int) -> Sequence[Row]:
    operation, _ = await find_operation(uow, key)
    executions = await uow.executions.of_operation(operation["operation_id"])
    if not 1 <= step <= len(executions):
        raise NotFoundError(f"the operation has no step {step}: there are {len(executions)}")
    checks = await uow.checks.of_execution(executions[step - 1]["id"])
    if not checks:
        raise NotFoundError(f"step {step} has no check: nothing was expected of it")
    return checks


def _quoted(key: str) -> str:
    return repr(visible(shortened(key, 80)))


async def _explained(uow: UnitOfWork, operation: Row, line: ReportLine, row: Row, pid: int | None) -> Explanation:
    assert line.check is not None  # noqa: S101 - callers pass lines of checks
    results = await uow.results.of_check(row["id"])
    current: Mapping[str, Any] = dict(results[0]) if results else {}
    warnings = (current.get("metadata") or {}).get("warnings")
    return Explanation(
        generated_at=uow.now,
        operation=reported_operation(operation),
        execution=line.execution,
        pid=pid,
        check=line.check,
        config=row["detection_config"],
        query_sent=current.get("query_sent"),
        searched_from=current.get("searched_from"),
        searched_to=current.get("searched_to"),
        source=current.get("result_source"),
        looks=readable(row["execution_metadata"].get("looks"), TakenLook),
        earlier=tuple(_given(result) for result in results[0 if line.check.is_open else 1 :]),
        rivals=await _rivals(uow, row) if line.check.ambiguous else (),
        warnings=readable(warnings, str),
    )


def _given(result: Row) -> GivenVerdict:
    told = {name: result[name] for name in GivenVerdict.__struct_fields__ if name != "source"}
    return GivenVerdict(source=result["result_source"], **told)


async def _rivals(uow: UnitOfWork, check: Row) -> tuple[Rival, ...]:
    """Who else claims what this check rests on, the firmest first."""
    backend = check["detection_platform"]
    records = {record_id for _, record_id in await uow.claims.records_of([check["id"]])}
    claims = [claim for claim in await uow.claims.around(backend, records) if claim.record_id in records]
    own = {claim.record_id: claim.tier for claim in claims if claim.check_id == check["id"]}
    others = [claim for claim in claims if claim.execution_id != check["execution_result_id"]]
    executions = await uow.executions.by_ids(list({claim.execution_id for claim in others}))
    ordered = sorted(others, key=lambda claim: (RANK[claim.tier], claim.record_id, claim.check_id))
    return tuple(
        Rival(
            record_id=claim.record_id,
            tier=claim.tier,
            own_tier=own[claim.record_id],
            check_id=claim.check_id,
            **{name: executions[claim.execution_id][name] for name in _OF_RIVAL},
        )
        for claim in ordered[:_MOST_RIVALS]
    )


_OF_RIVAL = ("operation_id", "agent_host", "procedure_name", "command", "started_at")
