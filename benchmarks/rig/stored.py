"""A database with many rows: what a year of nightly operations leaves behind."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

__all__ = ["EXECUTIONS_OF_OPERATION", "fill", "fill_operations"]

EXECUTIONS_OF_OPERATION = 1_000
"""So many, each with one check and one verdict of it."""

_KEY = "md5('{kind}' || number)::uuid"
_NUMBERS = "generate_series($1::bigint, $2::bigint - 1) AS number"
_AT = "timestamptz '2026-01-01' + number * interval '10 seconds'"
_OUTCOME = "(ARRAY['alerted', 'none', 'no_alert', 'inconclusive', 'blocked'])[1 + number % 5]"
_OPERATION = f"md5('told' || number / {EXECUTIONS_OF_OPERATION})::uuid"

_ROWS = {
    "operations": {
        "id": _KEY.format(kind="operation"),
        "operation_id": _KEY.format(kind="told"),
        "source": "'caldera'",
        "name": "'nightly ' || number",
        "state": "'finished'",
        "created_at": _AT,
        "updated_at": _AT,
    },
    "execution_results": {
        "id": _KEY.format(kind="execution"),
        "operation_id": _OPERATION,
        "link_id": _KEY.format(kind="link"),
        "revision": "1",
        "agent_host": "'ws' || number % 50 || '.corp.example'",
        "agent_paw": "'paw' || number % 50",
        "agent": """'{"user": "CORP\\\\ann", "pid": 4242}'::jsonb""",
        "command": "'rundll32.exe C:\\Windows\\System32\\comsvcs.dll, MiniDump ' || number || ' C:\\l.dmp full'",
        "executor": "'cmd'",
        "platform": "'windows'",
        "pid": "4000 + number % 1000",
        "status": "0",
        "link_state": "'SUCCESS'",
        "run_state": "'ran'",
        "cleanup": "false",
        "procedure_id": "'bench'",
        "procedure_name": "'Dump'",
        "tactic": "'credential-access'",
        "technique_id": "'T1' || lpad((number % 200)::text, 3, '0')",
        "procedure_fingerprint": "md5('' || number % 200)",
        "started_at": _AT,
        "finished_at": f"{_AT} + interval '2 seconds'",
        "clock": "'server'",
        "result_data": """jsonb_build_object('stdout', repeat('x', 400), 'stderr', '', 'exit_code', '0')""",
        "raw_message": "repeat('m', 1200)",
        "reported_at": _AT,
        "created_at": _AT,
    },
    "detection_executions": {
        "id": _KEY.format(kind="check"),
        "execution_result_id": _KEY.format(kind="execution"),
        "operation_id": _OPERATION,
        "detection_type": "'api'",
        "detection_platform": "(ARRAY['splunk', 'elastic', 'crowdstrike'])[1 + number % 3]",
        "detection_config": """'{"query": "index=security"}'::jsonb""",
        "expect": "'alerted'",
        "status": "'completed'",
        "outcome": _OUTCOME,
        "look": "2",
        "dispatches": "0",
        "available_at": _AT,
        "deadline": f"{_AT} + interval '10 minutes'",
        "task_id": _KEY.format(kind="task"),
        "retry_count": "0",
        "max_retries": "1",
        "started_at": _AT,
        "completed_at": f"{_AT} + interval '10 minutes'",
        "execution_metadata": """'{"timing": {}, "lease": 60, "looks": [], "closed_by": "worker"}'::jsonb""",
        "created_at": _AT,
    },
    "detection_results": {
        "id": _KEY.format(kind="result"),
        "task_id": _KEY.format(kind="task"),
        "detection_execution_id": _KEY.format(kind="check"),
        "look": "2",
        "detected": "number % 5 IN (0, 4)",
        "prevention": "'not_asked'",
        "alert": "'yes'",
        "rule": "'not_asked'",
        "telemetry": "'yes'",
        "alive": "'not_asked'",
        "outcome": _OUTCOME,
        "reason": "(ARRAY['matched_alert', 'no_telemetry', 'telemetry_only', 'backend_unreachable'])[1 + number % 4]",
        "met": "'yes'",
        "match_tier": "'process'",
        "late": "false",
        "ambiguous": "false",
        "in_control_window": "false",
        "tooling": "false",
        "overridden": "false",
        "event_at": _AT,
        "alert_at": f"{_AT} + interval '30 seconds'",
        "seen_at": _AT,
        "time_to_detect_s": "30",
        "censored": "false",
        "query_sent": "'search index=security comsvcs'",
        "result_timestamp": _AT,
        "result_source": "'splunk'",
        "raw_response": """jsonb_build_object('hits', repeat('r', 600))""",
        "parsed_results": """'{"evidence": [{"id": "a-1"}], "near_misses": []}'::jsonb""",
        "created_at": _AT,
    },
}


async def fill(connection: asyncpg.Connection, first: int, end: int) -> None:
    """Store executions of these numbers with a check and a verdict each, and look after the tables as the server does.

    Args:
        connection: of a database whose schema is there.
        first: a multiple of ``EXECUTIONS_OF_OPERATION``.
        end: one more than the last.
    """
    await fill_operations(connection, first // EXECUTIONS_OF_OPERATION, -(-end // EXECUTIONS_OF_OPERATION))
    for table in _ROWS:
        if table != "operations":
            await _fill(connection, table, first, end)


async def fill_operations(connection: asyncpg.Connection, first: int, end: int) -> None:
    """Store operations of these numbers, those that are there already left out."""
    await _fill(connection, "operations", first, end)


async def _fill(connection: asyncpg.Connection, table: str, first: int, end: int) -> None:
    names, values = ", ".join(_ROWS[table]), ", ".join(_ROWS[table].values())
    statement = f"INSERT INTO checking_engine.{table} ({names}) SELECT {values} FROM {_NUMBERS} ON CONFLICT DO NOTHING"
    await connection.execute(statement, first, end, timeout=1800)
    await connection.execute(f"VACUUM ANALYZE checking_engine.{table}", timeout=1800)
