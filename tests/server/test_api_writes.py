"""What people change over HTTP, on both databases: feeding in, asking again, cancelling, deciding."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from checking_core.contracts import Answer, DetectionTask, MatchTier, Outcome, Reason
from checking_core.storage import Store
from checking_core.storage.tables import evidence_claims

from .conftest import ENDED, Stations, hint, taken
from .test_gather import answer

API = "/api/v1"
INGEST, CHECKS, RESULTS, AUDIT = (
    f"{API}/ingest/link-results",
    f"{API}/detections/executions",
    f"{API}/detections/results",
    f"{API}/audit",
)
ALERT = hint(alert={"rule": "r"}, expect="alerted")
NO_ALERT = {"rule": Answer.NOT_ASKED, "alert": Answer.NO, "outcome": Outcome.NO_ALERT, "reason": None}
ALERTED = {
    "rule": Answer.NOT_ASKED,
    "alert": Answer.YES,
    "outcome": Outcome.ALERTED,
    "reason": Reason.MATCHED_ALERT,
    "match_tier": MatchTier.PROCESS,
}
Link = Callable[..., bytes]


@pytest.fixture
async def task(stations: Stations, link: Link) -> DetectionTask:
    """The look at the deadline of a check that wants an alert, with a worker."""
    worker = await stations.serve("siem")
    await stations.accepts(link(detections=[ALERT]))
    stations.clock.move(1300)
    await stations.dispatch()
    (found,) = await taken(worker)
    await worker.stop()
    return found


async def judged(client: httpx.AsyncClient, stations: Stations, task: DetectionTask, verdict: Any) -> dict[str, Any]:
    """The stored result of an answer to this task."""
    await stations.gathers(answer(task, **verdict))
    return (await client.get(f"{RESULTS}/by-execution/{task.detection_execution_id}")).json()["items"][0]


async def logged(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    return [(one["action"], one["subject"]) for one in (await client.get(AUDIT)).json()["items"]]


def told(body: bytes, **execution: Any) -> dict[str, Any]:
    """A message as an object, with another execution."""
    message = json.loads(body)
    return {**message, "execution": {**message["execution"], **execution}}


# --- ingest ---------------------------------------------------------------------------------------------------


async def test_a_message_is_stored_once_however_often_it_is_sent(client: httpx.AsyncClient, link: Link) -> None:
    first = (await client.post(INGEST, content=link(detections=[ALERT]))).json()
    again = await client.post(INGEST, content=link(detections=[ALERT]))
    assert (first["new"], again.json()["new"], again.json()["repeated"]) == (1, 0, 1)
    (item,) = first["items"]
    execution = (await client.get(f"{API}/executions/{item['execution_id']}")).json()
    assert execution["operation_id"] == item["operation_id"]
    assert (await client.get(f"{CHECKS}/by-execution-result/{item['execution_id']}")).json()["total"] == 1
    assert [action for action, _ in await logged(client)] == ["link_results.ingest"]


async def test_a_list_is_answered_in_its_order(client: httpx.AsyncClient, link: Link) -> None:
    ids = [str(uuid4()) for _ in range(3)]
    messages = [told(link(), link_id=key) for key in ids]
    found = (await client.post(INGEST, json=messages)).json()
    assert (found["new"], [item["change"] for item in found["items"]]) == (3, ["new"] * 3)
    stored = [(await client.get(f"{API}/executions/{item['execution_id']}")).json() for item in found["items"]]
    assert [one["link_id"] for one in stored] == ids


async def test_of_a_list_with_wrong_messages_the_others_are_stored_and_each_wrong_one_is_named(
    client: httpx.AsyncClient, link: Link
) -> None:
    answered = await client.post(INGEST, json=[told(link()), {"message_type": "other"}, told(link(), command=7)])
    problem = answered.json()
    assert (answered.status_code, answered.headers["content-type"]) == (400, "application/problem+json")
    assert [error["field"] for error in problem["errors"]] == ["[1].operation", "[2].execution.command"]
    assert problem["detail"].startswith("2 of 3 messages were rejected, the others are stored")
    assert (await client.get(f"{API}/executions")).json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "$"),
        (b"[]", "$"),
        (b"[1,", "$"),
        (b"{", "$"),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", "$"),
        (b'{"message_type": "link_result"}', "operation"),
    ],
)
async def test_a_body_that_cannot_be_read_names_what_is_wrong(
    client: httpx.AsyncClient, body: bytes, field: str
) -> None:
    answered = await client.post(INGEST, content=body)
    assert (answered.status_code, answered.json()["errors"][0]["field"]) == (400, field)
    assert await logged(client) == []


# --- retry, cancel --------------------------------------------------------------------------------------------


async def test_a_closed_check_is_asked_again(client: httpx.AsyncClient, stations: Stations, task: Any) -> None:
    await judged(client, stations, task, NO_ALERT)
    check = (await client.post(f"{CHECKS}/{task.detection_execution_id}/retry")).json()
    assert (check["status"], check["look"]) == ("pending", 2)
    assert await logged(client) == [("check.retry", check["id"])]


async def test_an_open_check_is_cancelled_and_a_late_answer_changes_nothing(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    check = (await client.post(f"{CHECKS}/{task.detection_execution_id}/cancel")).json()
    assert (check["status"], check["outcome"]) == ("cancelled", "inconclusive")
    verdict = await judged(client, stations, task, ALERTED)
    assert (verdict["reason"], verdict["result_source"]) == ("cancelled", "engine")
    assert (await client.get(f"{CHECKS}/{check['id']}")).json() == check
    assert await logged(client) == [("check.cancel", check["id"])]


async def test_a_verdict_stands_when_asking_again_is_cancelled(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    missed = await judged(client, stations, task, NO_ALERT)
    check = f"{CHECKS}/{task.detection_execution_id}"
    decided = (
        await client.post(f"{RESULTS}/{missed['id']}/override", json={"outcome": "alerted", "note": "seen in the SOC"})
    ).json()
    await client.post(f"{check}/retry")
    closed = (await client.post(f"{check}/cancel")).json()
    assert (closed["status"], closed["outcome"]) == ("completed", "alerted")
    history = (await client.get(f"{RESULTS}/by-execution/{task.detection_execution_id}")).json()["items"]
    assert [one["id"] for one in history] == [decided["id"], missed["id"]]


async def test_a_cancelled_check_may_be_asked_again(client: httpx.AsyncClient, task: Any) -> None:
    key = task.detection_execution_id
    await client.post(f"{CHECKS}/{key}/cancel")
    assert (await client.post(f"{CHECKS}/{key}/retry")).json()["status"] == "pending"


@pytest.mark.parametrize("move", ["retry", "cancel"])
async def test_a_move_that_the_state_does_not_allow_is_a_conflict(
    client: httpx.AsyncClient, stations: Stations, task: Any, move: str
) -> None:
    if move == "cancel":
        await judged(client, stations, task, NO_ALERT)
    answered = await client.post(f"{CHECKS}/{task.detection_execution_id}/{move}")
    assert (answered.status_code, await logged(client)) == (409, [])


@pytest.mark.parametrize("move", ["retry", "cancel"])
async def test_a_check_that_is_not_there_is_not_found(client: httpx.AsyncClient, move: str) -> None:
    assert (await client.post(f"{CHECKS}/{uuid4()}/{move}")).status_code == 404


# --- override -------------------------------------------------------------------------------------------------


async def test_a_person_s_verdict_replaces_the_current_one_and_history_stays(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    missed = await judged(client, stations, task, NO_ALERT)
    stations.clock.move(60)
    decided = (
        await client.post(f"{RESULTS}/{missed['id']}/override", json={"outcome": "alerted", "note": "seen in the SOC"})
    ).json()
    assert (decided["outcome"], decided["reason"], decided["met"]) == ("alerted", "overridden", "yes")
    assert (decided["overridden"], decided["detected"], decided["alert"]) == (True, True, "yes")
    assert decided["metadata"] == {"note": "seen in the SOC", "overrides": missed["id"]}
    history = (await client.get(f"{RESULTS}/by-execution/{task.detection_execution_id}")).json()["items"]
    assert [one["id"] for one in history] == [decided["id"], missed["id"]]
    assert (await client.get(f"{CHECKS}/{task.detection_execution_id}")).json()["outcome"] == "alerted"
    assert await logged(client) == [("check.override", str(task.detection_execution_id))]


async def test_an_alert_that_a_person_adds_takes_no_telemetry_away(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    logged = {**NO_ALERT, "telemetry": Answer.YES, "outcome": Outcome.LOGGED, "reason": Reason.TELEMETRY_WITHOUT_ALERT}
    seen = await judged(client, stations, task, logged)
    wanted = {"outcome": "alerted", "note": "seen in the SOC"}
    decided = (await client.post(f"{RESULTS}/{seen['id']}/override", json=wanted)).json()
    assert (decided["alert"], decided["telemetry"]) == ("yes", "yes")


async def test_a_hit_that_a_person_takes_back_tells_no_time_and_claims_nothing(
    client: httpx.AsyncClient, stations: Stations, store: Store, task: Any
) -> None:
    claim = {"record_id": "alert-1", "tier": "process", "shared": False, "kind": "alert"}
    hit = await judged(client, stations, task, {**ALERTED, "alert_at": ENDED, "claims": (claim,)})
    assert hit["time_to_detect_s"] is not None
    decided = (
        await client.post(f"{RESULTS}/{hit['id']}/override", json={"outcome": "no_alert", "note": "a neighbour's"})
    ).json()
    assert (decided["met"], decided["detected"], decided["alert"]) == ("no", False, "no")
    assert (decided["alert_at"], decided["time_to_detect_s"]) == (None, None)
    async with store.read() as uow:
        assert (await uow.connection.execute(evidence_claims.select())).all() == []


async def test_an_answer_that_comes_after_a_person_decided_changes_nothing(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    missed = await judged(client, stations, task, NO_ALERT)
    wanted = {"outcome": "inconclusive", "note": "the host was away"}
    decided = (await client.post(f"{RESULTS}/{missed['id']}/override", json=wanted)).json()
    assert (await judged(client, stations, task, ALERTED))["id"] == decided["id"]


async def test_a_verdict_that_is_no_longer_the_current_one_is_not_replaced(
    client: httpx.AsyncClient, stations: Stations, task: Any
) -> None:
    missed = await judged(client, stations, task, NO_ALERT)
    path, wanted = f"{RESULTS}/{missed['id']}/override", {"outcome": "alerted", "note": "seen"}
    assert (await client.post(path, json={**wanted, "outcome": "not_run"})).status_code == 409
    assert (await client.post(path, json=wanted)).status_code == 201
    again = await client.post(path, json=wanted)
    assert (again.status_code, "another verdict by now" in again.json()["detail"]) == (409, True)
    await client.post(f"{CHECKS}/{task.detection_execution_id}/retry")
    newest = (await client.get(f"{RESULTS}/by-execution/{task.detection_execution_id}")).json()["items"][0]
    assert (await client.post(f"{RESULTS}/{newest['id']}/override", json=wanted)).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "alerted"}, "note"),
        ({"outcome": "alerted", "note": ""}, "note"),
        ({"outcome": "seen", "note": "x"}, "outcome"),
        ({"outcome": "alerted", "note": "x", "author": "me"}, "author"),
    ],
)
async def test_a_verdict_without_a_reason_or_of_no_kind_is_refused(
    client: httpx.AsyncClient, body: dict[str, str], field: str
) -> None:
    answered = await client.post(f"{RESULTS}/{uuid4()}/override", json=body)
    assert (answered.status_code, field in answered.json()["detail"]) == (400, True)
