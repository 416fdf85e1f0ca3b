"""What people tell, correct and delete over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from checking_core.contracts import DetectionTask, MatchTier, Outcome, Reason, identity
from checking_core.storage import Store
from checking_core.storage.tables import detection_executions, detection_results, evidence_claims, execution_results
from checking_core.storage.tables import operations as operations_table

from .conftest import Stations, hint, taken
from .test_gather import answer

API = "/api/v1"
OPERATIONS, EXECUTIONS, AUDIT = f"{API}/operations", f"{API}/executions", f"{API}/audit"
CHECKS, RESULTS = f"{API}/detections/executions", f"{API}/detections/results"
Link = Callable[..., bytes]
TABLES = (operations_table, execution_results, detection_executions, detection_results, evidence_claims)


@pytest.fixture
async def task(stations: Stations, link: Link) -> DetectionTask:
    """A check that was answered by a hit on one record."""
    worker = await stations.serve("siem")
    await stations.accepts(link(detections=[hint(alert={"rule": "r"}, expect="alerted")]))
    stations.clock.move(1300)
    await stations.dispatch()
    (found,) = await taken(worker)
    await worker.stop()
    claim = {"record_id": "alert-1", "tier": "process", "shared": False, "kind": "alert"}
    alerted = {"alert": "yes", "rule": "not_asked", "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT}
    await stations.gathers(answer(found, **alerted, match_tier=MatchTier.PROCESS, claims=(claim,)))
    return found


async def counts(store: Store) -> list[int]:
    """Rows of operations, executions, checks, results and claims."""
    async with store.read() as uow:
        return [
            (await uow.connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
            for table in TABLES
        ]


async def logged(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await client.get(AUDIT)).json()["items"]


# --- operations -----------------------------------------------------------------------------------------------


async def test_an_operation_may_be_told_before_anything_has_run(
    client: httpx.AsyncClient, stations: Stations, link: Link
) -> None:
    wanted = {"operation_id": "purple 7/8", "name": "autumn", "state": "planned", "metadata": {"team": "red"}}
    made = await client.post(OPERATIONS, json=wanted)
    told = made.json()
    assert (made.status_code, told["operation_id"], told["source_id"]) == (
        201,
        str(identity("caldera", "purple 7/8")),
        "purple 7/8",
    )
    stations.clock.move(1)
    await stations.accepts(link(operation={"operation_id": "purple 7/8", "name": "other", "state": "running"}))
    now = (await client.get(f"{OPERATIONS}/{told['id']}")).json()
    assert (now["name"], now["metadata"]) == ("autumn", {"team": "red"})
    (entry,) = await logged(client)
    assert (entry["action"], entry["subject"], entry["before"]) == ("operation.create", told["id"], None)


async def test_an_operation_is_told_once(client: httpx.AsyncClient) -> None:
    wanted = {"operation_id": str(uuid4()), "name": "op"}
    statuses = [(await client.post(OPERATIONS, json=wanted)).status_code for _ in range(2)]
    assert (statuses, len(await logged(client))) == ([201, 409], 1)


async def test_what_is_known_of_an_operation_is_corrected_and_the_rest_stays(client: httpx.AsyncClient) -> None:
    made = (await client.post(OPERATIONS, json={"operation_id": str(uuid4()), "name": "op", "state": "x"})).json()
    path = f"{OPERATIONS}/{made['operation_id']}"
    changed = (await client.put(path, json={"name": "better", "state": None, "attack_version": "19.0"})).json()
    assert (changed["name"], changed["state"], changed["attack_version"]) == ("better", None, "19.0")
    assert {**changed, "updated_at": 0} == {
        **made,
        "name": "better",
        "state": None,
        "attack_version": "19.0",
        "updated_at": 0,
    }
    entry = (await logged(client))[0]
    assert (entry["action"], entry["before"]["name"], entry["after"]["name"]) == ("operation.update", "op", "better")
    await client.put(path, json={"name": "better"})
    assert len(await logged(client)) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "op"}, "operation_id"),
        ({"operation_id": "x", "name": "op", "nam": "y"}, "nam"),
        ({"operation_id": "x", "name": "op", "operation_start": "2026-01-01T00:00:00"}, "operation_start"),
        ({"operation_id": "x", "name": "y" * 1_001}, "name"),
        ({"operation_id": "", "name": "op"}, "operation_id"),
    ],
)
async def test_a_wrong_operation_names_the_field(client: httpx.AsyncClient, body: dict[str, str], field: str) -> None:
    answered = await client.post(OPERATIONS, json=body)
    assert (answered.status_code, field in answered.json()["detail"]) == (400, True)


# --- executions -----------------------------------------------------------------------------------------------


async def test_how_an_execution_is_mapped_is_corrected(client: httpx.AsyncClient, task: Any) -> None:
    found = (await client.get(EXECUTIONS)).json()["items"][0]
    path = f"{EXECUTIONS}/{found['id']}"
    changed = await client.put(path, json={"technique_id": "T1003.001", "tactic": "credential-access"})
    assert (changed.status_code, changed.json()["technique_id"]) == (200, "T1003.001")
    assert changed.json()["procedure_name"] == found["procedure_name"]
    assert (await client.get(EXECUTIONS, params={"technique": "T1003"})).json()["total"] == 1
    assert (await client.put(path, json={"technique_id": "LSASS"})).status_code == 400
    assert (await client.put(path, json={"command": "other"})).status_code == 400


# --- deletes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["operation", "execution", "check"])
async def test_what_others_hang_on_is_deleted_with_them_or_not_at_all(
    client: httpx.AsyncClient, store: Store, task: DetectionTask, kind: str
) -> None:
    execution = (await client.get(EXECUTIONS)).json()["items"][0]
    path = {
        "operation": f"{OPERATIONS}/{execution['operation_id']}",
        "execution": f"{EXECUTIONS}/{execution['id']}",
        "check": f"{CHECKS}/{task.detection_execution_id}",
    }[kind]
    assert await counts(store) == [1, 1, 1, 1, 1]
    refused = await client.delete(path)
    assert (refused.status_code, "?cascade=true" in refused.json()["detail"]) == (409, True)
    assert await counts(store) == [1, 1, 1, 1, 1]
    assert (await client.delete(path, params={"cascade": True})).status_code == 204
    left = {"operation": [0, 0, 0, 0, 0], "execution": [1, 0, 0, 0, 0], "check": [1, 1, 0, 0, 0]}
    assert await counts(store) == left[kind]
    assert [entry["action"] for entry in await logged(client)] == [f"{kind}.delete"]
    assert (await client.delete(path)).status_code == 404


async def test_a_deleted_check_claims_nothing_any_more(
    client: httpx.AsyncClient, stations: Stations, link: Link, task: DetectionTask
) -> None:
    """A record that two executions claim makes both doubtful; when one of them is gone the other is sure again."""
    worker = await stations.serve("siem")
    other = {"link_id": str(uuid4()), "command": "net user"}
    await stations.accepts(link(detections=[hint(alert={"rule": "r"}, expect="alerted")], **other))
    stations.clock.move(1300)
    await stations.dispatch()
    (second,) = await taken(worker)
    await worker.stop()
    claim = {"record_id": "alert-1", "tier": "process", "shared": False, "kind": "alert"}
    alerted = {"alert": "yes", "rule": "not_asked", "outcome": Outcome.ALERTED, "reason": Reason.MATCHED_ALERT}
    await stations.gathers(answer(second, **alerted, match_tier=MatchTier.PROCESS, claims=(claim,)))

    async def doubtful() -> list[bool]:
        return [item["ambiguous"] for item in (await client.get(RESULTS)).json()["items"]]

    assert await doubtful() == [True, True]
    await client.delete(f"{CHECKS}/{second.detection_execution_id}", params={"cascade": True})
    assert await doubtful() == [False]


async def test_a_verdict_is_deleted_only_once_another_has_replaced_it(
    client: httpx.AsyncClient, stations: Stations, task: DetectionTask
) -> None:
    current = (await client.get(RESULTS)).json()["items"][0]
    assert (await client.delete(f"{RESULTS}/{current['id']}")).status_code == 409
    stations.clock.move(1)
    await client.post(f"{RESULTS}/{current['id']}/override", json={"outcome": "none", "note": "a test of the SOC"})
    assert (await client.delete(f"{RESULTS}/{current['id']}")).status_code == 204
    assert (await client.get(RESULTS)).json()["total"] == 1


@pytest.mark.parametrize("path", [OPERATIONS, EXECUTIONS, CHECKS, RESULTS])
async def test_what_is_not_there_is_not_deleted(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.delete(f"{path}/{uuid4()}")).status_code == 404
