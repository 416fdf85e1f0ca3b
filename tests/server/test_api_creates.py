"""What people store over HTTP beside messages, on both databases: executions, checks, verdicts, and corrections."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from checking_core.contracts import DetectionTask
from checking_server.api.examples import EXAMPLES, LINK_RESULT

from .conftest import Stations, an_answer, taken

API = "/api/v1"
OPERATIONS, EXECUTIONS, AUDIT = f"{API}/operations", f"{API}/executions", f"{API}/audit"
CHECKS, RESULTS = f"{API}/detections/executions", f"{API}/detections/results"
Link = Callable[..., bytes]


@pytest.fixture
async def execution(stations: Stations, link: Link, client: httpx.AsyncClient) -> dict[str, Any]:
    """One that is stored, with a check of the backend siem."""
    await stations.accepts(link())
    (found,) = (await client.get(EXECUTIONS)).json()["items"]
    return dict(found)


@pytest.fixture
async def check(execution: dict[str, Any], client: httpx.AsyncClient) -> dict[str, Any]:
    (found,) = (await client.get(CHECKS)).json()["items"]
    return dict(found)


async def actions(client: httpx.AsyncClient) -> list[str]:
    return [one["action"] for one in (await client.get(AUDIT)).json()["items"]]


# --- executions -----------------------------------------------------------------------------------------------


async def created(client: httpx.AsyncClient, link: Link, **execution: Any) -> httpx.Response:
    """An execution of an operation that was stored by hand, told without a message."""
    wanted = {"operation_id": "autumn-1", "source": "atomic", "name": "autumn"}
    await client.post(OPERATIONS, json=wanted)
    (operation,) = (await client.get(OPERATIONS)).json()["items"]
    told = json.loads(link())["execution"] | execution
    wanted = {"operation_id": operation["id"], "timestamp": "2026-01-15T09:00:03Z", "execution": told}
    return await client.post(EXECUTIONS, json=wanted)


async def test_an_execution_is_stored_with_its_checks_in_the_operation_that_it_names(
    client: httpx.AsyncClient, link: Link
) -> None:
    answered = await created(client, link)
    assert answered.status_code == 201, answered.text
    stored = answered.json()
    (operation,) = (await client.get(OPERATIONS)).json()["items"]
    assert (operation["source"], operation["source_id"], operation["name"]) == ("atomic", "autumn-1", "autumn")
    assert stored["operation_id"] == operation["operation_id"]
    assert (await client.get(f"{CHECKS}/by-execution-result/{stored['id']}")).json()["total"] == 1
    assert await actions(client) == ["execution.create", "operation.create"]


async def test_the_same_execution_again_changes_nothing(client: httpx.AsyncClient, link: Link) -> None:
    first = await created(client, link)
    again = await created(client, link)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert (await client.get(EXECUTIONS)).json()["total"] == 1


async def test_a_wrong_execution_names_its_field(client: httpx.AsyncClient, link: Link) -> None:
    answered = await created(client, link, link_state="SEEN")
    assert answered.status_code == 400
    assert answered.json()["errors"][0]["field"] == "execution.link_state"
    assert (await client.get(EXECUTIONS)).json()["total"] == 0


async def test_an_execution_of_an_unknown_operation_is_not_found(client: httpx.AsyncClient) -> None:
    wanted = {"operation_id": str(uuid4()), "timestamp": "2026-01-15T09:00:03Z", "execution": {}}
    assert (await client.post(EXECUTIONS, json=wanted)).status_code == 404


async def test_an_execution_without_the_time_of_telling_is_refused(client: httpx.AsyncClient) -> None:
    """Sent again it would be another one."""
    answered = await client.post(EXECUTIONS, json={"operation_id": str(uuid4()), "execution": {}})
    assert (answered.status_code, "timestamp" in answered.json()["detail"]) == (400, True)


# --- checks ---------------------------------------------------------------------------------------------------


def asking(execution: dict[str, Any], backend: str = "edr", **more: Any) -> dict[str, Any]:
    config = {"query": "process=whoami", "settle": 0}
    wanted = {"execution_result_id": execution["id"], "detection_platform": backend, "detection_config": config}
    return {**wanted, **more}


async def test_one_more_check_is_asked_and_answered_like_any_other(
    client: httpx.AsyncClient, stations: Stations, execution: dict[str, Any]
) -> None:
    answered = await client.post(CHECKS, json=asking(execution))
    assert answered.status_code == 201, answered.text
    check = answered.json()
    assert (check["detection_platform"], check["status"], check["expectation_id"]) == ("edr", "pending", None)
    edr = await stations.serve("edr")
    await stations.serve("siem")
    await stations.dispatch()
    (task,) = await taken(edr)
    assert str(task.detection_execution_id) == check["id"]
    await stations.gathers(an_answer(task))
    assert (await client.get(f"{CHECKS}/{check['id']}")).json()["outcome"] == "alerted"
    assert await actions(client) == ["check.create"]


async def test_the_same_question_of_the_same_backend_is_one_check(
    client: httpx.AsyncClient, execution: dict[str, Any], check: dict[str, Any]
) -> None:
    same = asking(execution, check["detection_platform"], detection_config=check["detection_config"])
    again = await client.post(CHECKS, json={**same, "detection_type": "api"})
    assert (again.status_code, again.json()["id"]) == (200, check["id"])
    assert await actions(client) == []


async def test_a_check_that_cannot_be_asked_names_what_is_wrong(
    client: httpx.AsyncClient, execution: dict[str, Any]
) -> None:
    for wrong, field in [
        ({"detection_config": {"settle": -1}}, "detection_config.settle"),
        ({"detection_type": "sql"}, "detection_type"),
        ({"detection_platform": "no name!"}, "detection_platform"),
        ({"author": "me"}, "author"),
    ]:
        answered = await client.post(CHECKS, json=asking(execution, **wrong))
        assert (answered.status_code, field in answered.json()["detail"]) == (400, True), answered.text
    assert (await client.get(CHECKS)).json()["total"] == 1


async def test_nothing_is_asked_of_what_never_ran_or_cleans_up(
    client: httpx.AsyncClient, stations: Stations, link: Link
) -> None:
    await stations.accepts(link(8, link_state="DISCARD", detections=[]), link(9, cleanup=1, detections=[]))
    executions = {one["link_id"][-1]: one for one in (await client.get(EXECUTIONS)).json()["items"]}
    never = (await client.post(CHECKS, json=asking(executions["8"]))).json()
    assert (never["outcome"], never["status"]) == ("not_run", "completed")
    assert (await client.get(f"{RESULTS}/by-execution/{never['id']}")).json()["total"] == 1
    assert (await client.post(CHECKS, json=asking(executions["9"]))).status_code == 409


async def test_a_check_of_an_unknown_execution_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.post(CHECKS, json=asking({"id": str(uuid4())}))).status_code == 404


async def test_a_status_moves_only_as_the_flow_moves_it(client: httpx.AsyncClient, check: dict[str, Any]) -> None:
    path = f"{CHECKS}/{check['id']}"
    assert (await client.put(path, json={"status": "completed"})).status_code == 409
    assert (await client.put(path, json={"status": "pending"})).json()["look"] == 1, "it is that already"
    assert (await client.put(path, json={"status": "cancelled"})).json()["status"] == "cancelled"
    assert (await client.put(path, json={"status": "running"})).status_code == 409
    assert (await client.put(path, json={"status": "pending"})).json()["look"] == 2
    assert await actions(client) == ["check.retry", "check.cancel"]


async def test_how_often_a_check_is_repeated_is_corrected(client: httpx.AsyncClient, check: dict[str, Any]) -> None:
    path = f"{CHECKS}/{check['id']}"
    assert (await client.put(path, json={"max_retries": 4})).json()["max_retries"] == 4
    assert (await client.put(path, json={"max_retries": 4})).status_code == 200
    assert (await client.put(path, json={"max_retries": -1})).status_code == 400
    assert (await client.put(f"{CHECKS}/{uuid4()}", json={"max_retries": 4})).status_code == 404
    assert await actions(client) == ["check.update"]


# --- results --------------------------------------------------------------------------------------------------


async def test_a_person_s_verdict_closes_an_open_check_and_a_late_answer_changes_nothing(
    client: httpx.AsyncClient, stations: Stations, execution: dict[str, Any], check: dict[str, Any]
) -> None:
    siem = await stations.serve("siem")
    await stations.dispatch()
    task: DetectionTask = (await taken(siem))[0]
    wanted = {"detection_execution_id": check["id"], "outcome": "blocked", "note": "the console shows it"}
    answered = await client.post(RESULTS, json=wanted)
    assert answered.status_code == 201, answered.text
    told = answered.json()
    assert (told["outcome"], told["reason"], told["overridden"]) == ("blocked", "overridden", True)
    assert (told["prevention"], told["metadata"]) == ("blocked", {"note": "the console shows it"})
    await stations.gathers(an_answer(task))
    closed = (await client.get(f"{CHECKS}/{check['id']}")).json()
    assert (closed["outcome"], closed["status"]) == ("blocked", "completed")
    assert (await client.get(RESULTS)).json()["total"] == 1
    assert await actions(client) == ["check.decide"]


async def test_a_check_with_a_verdict_is_overridden_not_decided(
    client: httpx.AsyncClient, check: dict[str, Any]
) -> None:
    wanted = {"detection_execution_id": check["id"], "outcome": "alerted", "note": "seen"}
    first = (await client.post(RESULTS, json=wanted)).json()
    again = await client.post(RESULTS, json=wanted)
    assert (again.status_code, first["id"] in again.json()["detail"]) == (409, True)
    override = await client.post(f"{RESULTS}/{first['id']}/override", json={"outcome": "no_alert", "note": "not ours"})
    assert (override.status_code, override.json()["outcome"]) == (201, "no_alert")


async def test_nobody_decides_that_it_is_open_or_never_ran(client: httpx.AsyncClient, check: dict[str, Any]) -> None:
    for outcome in ("pending", "not_run"):
        wanted = {"detection_execution_id": check["id"], "outcome": outcome, "note": "x"}
        assert (await client.post(RESULTS, json=wanted)).status_code == 409
    missing = {"detection_execution_id": str(uuid4()), "outcome": "alerted", "note": "x"}
    assert (await client.post(RESULTS, json=missing)).status_code == 404
    assert (await client.get(RESULTS)).json()["total"] == 0


async def test_the_note_beside_a_verdict_is_corrected_and_the_verdict_stays(
    client: httpx.AsyncClient, check: dict[str, Any]
) -> None:
    wanted = {"detection_execution_id": check["id"], "outcome": "alerted", "note": "seen"}
    first = (await client.post(RESULTS, json=wanted)).json()
    path = f"{RESULTS}/{first['id']}"
    corrected = (await client.put(path, json={"note": "seen by the SOC"})).json()
    assert corrected == {**first, "metadata": {"note": "seen by the SOC"}}
    assert (await client.put(path, json={"outcome": "none", "note": "x"})).status_code == 400
    assert (await client.put(f"{RESULTS}/{uuid4()}", json={"note": "x"})).status_code == 404
    assert await actions(client) == ["result.update", "check.decide"]


# --- the story of the description ---------------------------------------------------------------------------------


async def test_the_examples_of_the_description_are_carried_out(client: httpx.AsyncClient) -> None:
    execution_id = EXAMPLES["WantedCheck"]["execution_result_id"]

    async def done(method: str, path: str, name: str, **more: Any) -> dict[str, Any]:
        answered = await client.request(method, path, json={**EXAMPLES[name], **more})
        assert answered.status_code in (200, 201), answered.text
        return dict(answered.json())

    operation = await done("POST", OPERATIONS, "WantedOperation")
    await done("PUT", f"{OPERATIONS}/{operation['id']}", "CorrectedOperation")
    assert (await done("POST", EXECUTIONS, "WantedExecution"))["id"] == execution_id
    assert (await done("PUT", f"{EXECUTIONS}/{execution_id}", "CorrectedExecution"))["technique_id"] == "T1033"
    check = (await done("POST", CHECKS, "WantedCheck"))["id"]
    result = await done("POST", RESULTS, "WantedResult", detection_execution_id=check)
    assert (result["outcome"], result["metadata"]["note"]) == ("alerted", "seen in the console")
    await done("PUT", f"{RESULTS}/{result['id']}", "CorrectedResult")
    decided = await done("POST", f"{RESULTS}/{result['id']}/override", "WantedOverride")
    assert decided["outcome"] == "no_alert"
    assert (await done("PUT", f"{CHECKS}/{check}", "CorrectedCheck"))["status"] == "pending"
    (ingested,) = (await client.post(f"{API}/ingest/link-results", json=LINK_RESULT)).json()["items"]
    assert ingested["execution_id"] == execution_id
