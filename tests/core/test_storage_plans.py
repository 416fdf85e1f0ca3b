"""An index serves every statement of the flow and of a report, so that they cost the same among a million rows."""

import re
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from tests.services import fresh_database

from checking_core.contracts import CheckStatus, Outcome
from checking_core.storage import Paging, Store, migrate
from checking_core.storage.filters import (
    CheckFilter,
    Detected,
    ExecutionFilter,
    ExecutionOrder,
    ResultFilter,
)
from checking_core.testing.storage_conformance.rows import (
    START,
    add,
    claim,
    planned,
    release,
    result_row,
    settle,
    stored_checks,
)

WHOLE_TABLE = re.compile(r"Seq Scan on (?!operations)\w|SCAN main\.(?!operations)(?!.* USING .*INDEX)")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def store(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}"
        await migrate.upgrade(url)
        async with Store(url, clock=lambda: START) as store:
            yield store
        return
    with fresh_database(request.getfixturevalue("postgres_server_url")) as url:
        await migrate.upgrade(url)
        async with Store(url, clock=lambda: START) as store:
            yield store


async def plan_of(store, engine, work):
    """How the database finds the rows of every statement that some work executes on an engine."""
    ran = []

    def note(_connection, _cursor, statement, parameters, _context, many):
        ran.append((statement, parameters[0] if many else parameters))

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    await work
    sa.event.remove(engine.sync_engine, "before_cursor_execute", note)
    explain = explained_by_sqlite if store.embedded else explained_by_postgres
    return "\n".join([line for statement, parameters in ran for line in await explain(store, statement, parameters)])


async def explained_by_sqlite(store, statement, parameters):
    async with store.read() as uow:
        plan = await uow.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters))
        return [row.detail for row in plan]


async def explained_by_postgres(store, statement, parameters):
    """The plan that a prepared statement keeps, whatever its values; a table is read whole only if no index serves."""
    connection = await asyncpg.connect(store.url.replace("+asyncpg", "", 1))
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        await connection.execute(f"PREPARE kept AS {statement}")
        values = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        return [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE kept{values}")]
    finally:
        await connection.close()


async def test_claiming_reads_due_checks_and_those_in_flight(store):
    await planned(store, 3)
    plan = await plan_of(store, store._writer, claim(store))
    assert "ix_detection_executions_due" in plan
    assert "ix_detection_executions_leased" in plan
    assert not WHOLE_TABLE.search(plan)


async def test_expiring_reads_leases(store):
    async def expire():
        async with store.read() as uow:
            await uow.checks.next_lease()
            await uow.checks.in_flight()

    plan = await plan_of(store, store._reader, expire())
    assert "ix_detection_executions_leased" in plan
    assert not WHOLE_TABLE.search(plan)


async def test_gathering_and_giving_back_find_checks_by_id(store):
    ids = await planned(store, 3)

    async def gather():
        async with store.begin() as uow:
            locked = await uow.checks.lock(ids)
            await uow.executions.by_ids([row["execution_result_id"] for row in locked.values()])
        await settle(store, {"id": ids[0], "look": 2})
        await release(store, ids, due=0)

    plan = await plan_of(store, store._writer, gather())
    assert re.search(r"pk_detection_executions|sqlite_autoindex_detection_executions_1", plan)
    assert re.search(r"pk_execution_results|sqlite_autoindex_execution_results_1", plan)
    assert not WHOLE_TABLE.search(plan)


async def test_a_report_reads_its_operation(store):
    (check,) = await stored_checks(store, await planned(store, 1))
    await add(store, result_row(check))

    async def report():
        async with store.read() as uow:
            assert len(await uow.results.current_of_operation(check["operation_id"])) == 1
            await uow.executions.of_operation(check["operation_id"])
            await uow.checks.progress([check["operation_id"]])
            await uow.checks.next_due(after=uow.now)

    plan = await plan_of(store, store._reader, report())
    assert "ix_detection_executions_operation_id_status" in plan
    assert "ix_detection_results_detection_execution_id_created_at" in plan
    assert "ix_execution_results_operation_id_started_at" in plan
    assert not WHOLE_TABLE.search(plan)


async def test_attribution_finds_claims_by_record_and_by_check(store):
    checks = await stored_checks(store, await planned(store, 2))
    await add(store, *map(result_row, checks))

    async def attribute():
        async with store.begin() as uow:
            ids = [check["id"] for check in checks]
            await uow.claims.records_of(ids)
            await uow.claims.replace(ids, [])
            await uow.claims.around("splunk", ["7:42"])
            await uow.claims.mark(ids, ambiguous=True)

    plan = await plan_of(store, store._writer, attribute())
    assert "ix_evidence_claims_check_id" in plan
    assert re.search(r"pk_evidence_claims|sqlite_autoindex_evidence_claims_1", plan)
    assert "ix_detection_results_detection_execution_id_created_at" in plan
    assert not WHOLE_TABLE.search(plan)


OPERATION = UUID(int=7)
LISTS = [
    ("executions", ExecutionFilter(), "execution_results_started_at"),
    ("executions", ExecutionFilter(operation_id=OPERATION), "execution_results_operation_id_started_at"),
    ("executions", ExecutionFilter(host="ws01"), "execution_results_agent_host_started_at"),
    ("executions", ExecutionFilter(technique="T1033"), "execution_results_technique_id_started_at"),
    ("executions", ExecutionFilter(link_id=OPERATION), r"uq_execution_results_link|autoindex_execution_results_2"),
    ("checks", CheckFilter(), "detection_executions_created_at"),
    ("checks", CheckFilter(operation_id=OPERATION), "detection_executions_operation_id_status"),
    ("checks", CheckFilter(execution_id=OPERATION), "detection_executions_execution_result_id"),
    ("checks", CheckFilter(outcomes=[Outcome.NONE]), "detection_executions_counted"),
    ("checks", CheckFilter(statuses=[CheckStatus.FAILED]), "detection_executions_counted"),
    ("checks", CheckFilter(retryable=True), "detection_executions_counted"),
    ("checks", CheckFilter(statuses=[CheckStatus.PENDING]), "detection_executions_counted"),
    ("checks", CheckFilter(ran=ExecutionFilter(host="ws01")), "execution_results_agent_host_started_at"),
    ("results", ResultFilter(), "detection_results_created_at"),
    ("results", ResultFilter(check_id=OPERATION), "detection_results_detection_execution_id_created_at"),
    ("results", ResultFilter(outcomes=[Outcome.NONE]), "detection_results_counted"),
    ("results", ResultFilter(detected=Detected.NO), "detection_results_detected_created_at"),
    ("results", ResultFilter(of=CheckFilter(operation_id=OPERATION)), "detection_executions_operation_id_status"),
]


@pytest.mark.parametrize(("name", "wanted", "index"), LISTS)
async def test_a_list_reads_what_its_filter_selects(store, name, wanted, index):
    await planned(store, 1)

    async def listed():
        async with store.read() as uow:
            await getattr(uow, name).list(Paging(), wanted)

    plan = await plan_of(store, store._reader, listed())
    assert re.search(index, plan)
    assert not WHOLE_TABLE.search(plan)


@pytest.mark.parametrize("order", ExecutionOrder)
async def test_a_cursor_begins_where_its_page_ended(store, order):
    for _ in range(2):
        await planned(store, 1)
    async with store.read() as uow:
        first = await uow.executions.list(Paging(size=1), order=order)

    async def second():
        async with store.read() as uow:
            assert len((await uow.executions.list(Paging(size=1, after=first.next), order=order)).items) == 1

    plan = await plan_of(store, store._reader, second())
    column = order.removeprefix("-")
    assert re.search(rf"Index Cond: \(+{column}\)?(::text)? [<>]|\({column}[<>]\?\)|\(\({column},id\)[<>]", plan), plan
    assert not WHOLE_TABLE.search(plan)
