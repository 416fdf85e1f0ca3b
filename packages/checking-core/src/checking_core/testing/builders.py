"""Plain messages for tests: complete and valid, changed where the test says so.

The same number gives the same ids, so that a task, its result and its execution fit together without being passed on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import msgspec

from checking_core.contracts import (
    Answer,
    Clock,
    DetectionResult,
    DetectionTask,
    ExecutionContext,
    ExecutionFacts,
    LinkState,
    Outcome,
    Procedure,
    Reason,
    RunState,
    TaskMetadata,
    Timing,
    check_id_of,
    encode,
    execution_id_of,
    task_id_of,
)

__all__ = ["ENDED", "OPERATION_ID", "STARTED", "a_context", "a_link_message", "a_result", "a_task", "an_execution"]

OPERATION_ID = UUID("464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11")
STARTED = datetime(2026, 11, 20, 19, 28, 38, tzinfo=UTC)
ENDED = STARTED + timedelta(seconds=1)

_COMMAND = "rundll32.exe comsvcs.dll MiniDump 624 out.dmp full"


def _link_id(number: int) -> UUID:
    return uuid5(OPERATION_ID, f"link {number}")


def _check_id(number: int) -> UUID:
    return check_id_of(execution_id_of(OPERATION_ID, _link_id(number)), "mock", "lsass-dump")


def an_execution(number: int = 1, **changes: Any) -> ExecutionFacts:
    """A LSASS dump on a Windows host that ran for a second."""
    facts: dict[str, Any] = {
        "link_id": _link_id(number),
        "agent_host": "ws01",
        "agent_paw": "tgtbbb",
        "command": _COMMAND,
        "executor": "psh",
        "platform": "windows",
        "pid": 4242,
        "status": 0,
        "link_state": LinkState.SUCCESS,
        "run_state": RunState.RAN,
        "procedure": Procedure(
            id="0ef4cc7b-611c-4237-b20b-db36b6906554",
            name="Dump LSASS.exe Memory using comsvcs.dll",
            tactic="credential-access",
            technique_id="T1003.001",
            fingerprint="lsass-comsvcs",
        ),
        "started_at": STARTED,
        "finished_at": ENDED,
        "clock": Clock.SERVER,
    }
    return ExecutionFacts(**(facts | changes))


def a_task(number: int = 1, **changes: Any) -> DetectionTask:
    """A look for an alert about ``an_execution``, after its deadline.

    Keywords change fields of the task, or of its execution context where the task has no such field.
    """
    context = {name: changes.pop(name) for name in ExecutionContext.__struct_fields__ if name in changes}
    fields: dict[str, Any] = {
        "detection_execution_id": _check_id(number),
        "operation_id": OPERATION_ID,
        "detection_type": "api",
        "detection_platform": "mock",
        "backend": "mock",
        "detection_config": {"alert": {"rule": "LSASS dump"}},
        "created_at": ENDED,
        "execution_context": a_context(**context),
        "metadata": TaskMetadata(),
        "look": 1,
        "deadline": ENDED + timedelta(seconds=1200),
        "deadline_passed": True,
        "timing": Timing(before=30, after=900, settle=60, deadline=1200, timeout=5, delay=0.0),
    }
    fields |= changes
    fields.setdefault("task_id", task_id_of(fields["detection_execution_id"], fields["look"]))
    return DetectionTask(**fields)


def a_context(**changes: Any) -> ExecutionContext:
    """What a worker is told about ``an_execution``."""
    facts = an_execution()
    same = {
        name: getattr(facts, name)
        for name in ExecutionContext.__struct_fields__
        if name in ExecutionFacts.__struct_fields__
    }
    return msgspec.structs.replace(
        ExecutionContext(**same, technique_id=facts.procedure.technique_id, tactic=facts.procedure.tactic), **changes
    )


def a_result(number: int = 1, **changes: Any) -> DetectionResult:
    """The answer to ``a_task`` of the same number: alerted, final."""
    look = changes.get("look", 1)
    fields: dict[str, Any] = {
        "id": task_id_of(_check_id(number), look),
        "detection_execution_id": _check_id(number),
        "look": look,
        "detected": True,
        "alert": Answer.YES,
        "outcome": Outcome.ALERTED,
        "reason": Reason.MATCHED_ALERT,
        "alert_at": ENDED + timedelta(seconds=30),
        "started_at": ENDED + timedelta(seconds=60),
        "result_timestamp": ENDED + timedelta(seconds=61),
        "result_source": "mock",
        "parsed_results": {},
    }
    return DetectionResult(**(fields | changes))


def a_link_message(number: int = 1, *, operation: dict[str, Any] | None = None, **execution: Any) -> bytes:
    """``an_execution`` as a red team publishes it; keywords replace fields of its ``execution``."""
    facts = an_execution(number)
    told = {
        "link_id": str(facts.link_id),
        "agent_host": facts.agent_host,
        "agent_paw": facts.agent_paw,
        "command": facts.command,
        "executor": facts.executor,
        "platform": facts.platform,
        "pid": facts.pid,
        "status": facts.status,
        "link_state": facts.link_state,
        "collect": facts.started_at,
        "finish": facts.finished_at,
        "ability": {
            "ability_id": facts.procedure.id,
            "name": facts.procedure.name,
            "tactic": facts.procedure.tactic,
            "technique_id": facts.procedure.technique_id,
        },
        "result_data": {"stdout": "", "stderr": "", "exit_code": "0"},
    }
    return encode(
        {
            "message_type": "link_result",
            "timestamp": ENDED + timedelta(seconds=1),
            "operation": {"operation_id": str(OPERATION_ID), "name": "Nightly run", **(operation or {})},
            "execution": told | execution,
        }
    )
