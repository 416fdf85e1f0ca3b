"""Lists of executions, checks and results over HTTP, on both databases: filters, orders, pages and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from checking_core.contracts import Answer, Outcome, Reason
from checking_core.testing import a_result

from .api_client import client_of
from .conftest import an_answer, hint, taken

API = "/api/v1"
EXECUTIONS, CHECKS, RESULTS = f"{API}/executions", f"{API}/detections/executions", f"{API}/detections/results"
RED, BLUE = "10000000-0000-4000-8000-000000000001", "20000000-0000-4000-8000-000000000002"
LINKS = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(6)]
NOBODY = "99999999-0000-4000-8000-000000000009"


@pytest.fixture
async def client(stations: Any, clock: Any, link: Callable[..., bytes]) -> AsyncIterator[httpx.AsyncClient]:
    """Four executions of two operations: the second failed, the fourth is another operation's; one check each but the
    third, which has two. Of the first the check is alerted, of the second not yet answered, the third in doubt and
    open, the fourth a proven no."""
    steps: list[dict[str, Any]] = [
        {
            "agent_host": "ws01",
            "command": "whoami /all",
            "ability": {"technique_id": "T1003.001", "tactic": "credential"},
        },
        {"agent_host": "ws02", "command": "net user", "status": 1, "link_state": "ERROR", "platform": "windows"},
        {
            "agent_host": "ws02",
            "command": "100%_done",
            "ability": {"technique_id": "T1003"},
            "detections": [hint(), hint("edr")],
        },
    ]
    siem, edr = await stations.serve("siem"), await stations.serve("edr")
    for number, step in enumerate(steps, start=1):
        clock.move(1)
        times = {"collect": f"2026-01-15T09:00:0{number}Z", "finish": f"2026-01-15T09:00:1{number}Z"}
        await stations.accepts(link(number, operation={"operation_id": RED}, **times, **step))
    clock.move(1)
    other = {"operation_id": BLUE, "name": "blue"}
    ability = {"technique_id": "T1003x"}
    await stations.accepts(link(4, operation=other, agent_host="srv", agent_paw="other", pid=9, ability=ability))
    clock.move(600)
    await stations.dispatch()
    tasks = {task.execution_context.link_id.hex[-1] + task.detection_platform: task for task in await taken(siem)}
    assert len(await taken(edr)) == 1
    clock.move(1)
    await stations.gathers(an_answer(tasks["1siem"]))
    clock.move(600)
    nothing = {"alert": Answer.NOT_ASKED, "rule": Answer.NO, "outcome": Outcome.NO_ALERT, "detected": False}
    task = tasks["4siem"]
    about = {"id": task.task_id, "detection_execution_id": task.detection_execution_id, "alert_at": None}
    no = a_result(**about, **nothing, reason=Reason.NO_TELEMETRY, match_tier=None, result_timestamp=task.created_at)
    await stations.gathers(no)
    async with client_of(stations.store) as opened:
        yield opened


async def items(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["total"] == len(told["items"])
    return list(told["items"])


def steps_of(found: list[dict[str, Any]]) -> list[int]:
    return [int(item["link_id"][-1]) for item in found]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, [3, 2, 1, 4]),
        ({"sort": "started_at"}, [4, 1, 2, 3]),
        ({"sort": "agent_host", "operation_id": BLUE}, [4]),
        ({"operation_id": RED}, [3, 2, 1]),
        ({"operation_id": NOBODY}, []),
        ({"host": "ws01"}, [1]),
        ({"host": "ws0"}, []),
        ({"paw": "other"}, [4]),
        ({"status": 1}, [2]),
        ({"state": "ERROR"}, [2]),
        ({"state": ["ERROR", "SUCCESS"]}, [3, 2, 1, 4]),
        ({"run_state": "failed"}, [2]),
        ({"technique": "T1003"}, [3, 1]),
        ({"technique": "T1003.001"}, [1]),
        ({"tactic": "credential"}, [1]),
        ({"platform": "windows"}, [2]),
        ({"cleanup": "true"}, []),
        ({"command": "WHOAMI"}, [1, 4]),
        ({"command": "0%_d"}, [3]),
        ({"from": "2026-01-15T09:00:02Z"}, [3, 2]),
        ({"from": "2026-01-15T10:00:02+01:00", "to": "2026-01-15T09:00:03Z"}, [2]),
        ({"host": "ws02", "technique": "T1003", "operation_id": RED}, [3]),
    ],
)
async def test_executions_are_what_all_filters_select(
    client: httpx.AsyncClient, params: dict[str, Any], expected: list[int]
) -> None:
    assert steps_of(await items(client, EXECUTIONS, **params)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [(f"by-operation/{RED}", [1, 2, 3]), ("failed/list", [2]), ("recent/1", [3, 2, 1, 4])],
)
async def test_executions_have_lists_of_their_own(client: httpx.AsyncClient, path: str, expected: list[int]) -> None:
    assert steps_of(await items(client, f"{EXECUTIONS}/{path}")) == expected


async def test_recent_executions_are_those_that_started_since(client: httpx.AsyncClient, clock: Any) -> None:
    clock.move(3600)
    assert await items(client, f"{EXECUTIONS}/recent/1") == []


async def test_an_execution_is_found_by_each_of_its_ids_and_alone_tells_its_output(client: httpx.AsyncClient) -> None:
    listed = (await items(client, EXECUTIONS, host="ws01"))[0]
    alone = (await client.get(f"{EXECUTIONS}/{listed['id']}")).json()
    assert alone == {**listed, "result_data": None}
    assert (await client.get(f"{EXECUTIONS}/by-link-id/{LINKS[1]}")).json() == alone
    told = (await client.get(f"{EXECUTIONS}/with-operation/{listed['id']}")).json()
    assert told.pop("operation")["operation_id"] == RED
    assert told == alone


def links_of_checks(found: list[dict[str, Any]], executions: list[dict[str, Any]]) -> list[str]:
    steps = {item["id"]: item["link_id"][-1] for item in executions}
    return sorted(steps[item["execution_result_id"]] + item["detection_platform"] for item in found)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["1siem", "2siem", "3edr", "3siem", "4siem"]),
        ({"operation_id": BLUE}, ["4siem"]),
        ({"host": "ws02"}, ["2siem", "3edr", "3siem"]),
        ({"paw": "other"}, ["4siem"]),
        ({"technique": "T1003", "platform": "siem"}, ["1siem", "3siem"]),
        ({"tactic": "credential"}, ["1siem"]),
        ({"command": "net"}, ["2siem"]),
        ({"platform": "edr"}, ["3edr"]),
        ({"type": "api", "platform": "edr"}, ["3edr"]),
        ({"type": "linux"}, []),
        ({"expect": "matched"}, ["1siem", "2siem", "3edr", "3siem", "4siem"]),
        ({"expectation_id": "nothing"}, []),
        ({"status": "dispatched"}, ["2siem", "3edr"]),
        ({"status": ["completed", "dispatched"], "host": "ws01"}, ["1siem"]),
        ({"outcome": "alerted"}, ["1siem"]),
        ({"outcome": ["alerted", "no_alert"]}, ["1siem", "4siem"]),
        ({"from": "2026-01-15T09:00:06Z"}, ["4siem"]),
        ({"to": "2026-01-15T09:00:04Z"}, ["1siem"]),
    ],
)
async def test_checks_are_what_all_filters_select(
    client: httpx.AsyncClient, params: dict[str, Any], expected: list[str]
) -> None:
    assert links_of_checks(await items(client, CHECKS, **params), await items(client, EXECUTIONS)) == expected


async def test_checks_have_lists_of_their_own(client: httpx.AsyncClient, stations: Any, clock: Any) -> None:
    executions = await items(client, EXECUTIONS)
    third = next(item["id"] for item in executions if item["link_id"] == LINKS[3])
    named = {"pending/list": ["3siem"], "failed/list": [], "retryable/list": [], f"by-operation/{BLUE}": ["4siem"]}
    for path, expected in {**named, f"by-execution-result/{third}": ["3edr", "3siem"]}.items():
        assert links_of_checks(await items(client, f"{CHECKS}/{path}"), executions) == expected
    clock.move(600)
    (second,) = await items(client, CHECKS, command="net")
    about = {"id": second["task_id"], "detection_execution_id": second["id"], "alert_at": None, "detected": None}
    doubt = {"alert": Answer.UNKNOWN, "outcome": Outcome.INCONCLUSIVE, "reason": Reason.PLUGIN_ERROR}
    await stations.gathers(a_result(**about, **doubt, match_tier=None))
    for path in ("failed/list", "retryable/list"):
        assert links_of_checks(await items(client, f"{CHECKS}/{path}"), executions) == ["2siem"]


async def test_a_check_is_found_by_its_id(client: httpx.AsyncClient) -> None:
    (listed,) = await items(client, CHECKS, host="ws01")
    assert (await client.get(f"{CHECKS}/{listed['id']}")).json() == listed


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, ["no_alert", "alerted"]),
        ({"sort": "created_at"}, ["alerted", "no_alert"]),
        ({"operation_id": RED}, ["alerted"]),
        ({"host": "srv"}, ["no_alert"]),
        ({"technique": "T1003"}, ["alerted"]),
        ({"platform": "edr"}, []),
        ({"outcome": "no_alert"}, ["no_alert"]),
        ({"reason": "no_telemetry"}, ["no_alert"]),
        ({"detected": "true"}, ["alerted"]),
        ({"detected": "false"}, ["no_alert"]),
        ({"detected": "unknown"}, []),
        ({"met": "no"}, ["no_alert"]),
        ({"overridden": "true"}, []),
        ({"prevention": "blocked"}, []),
        ({"source": "engine"}, []),
        ({"from": "2026-01-15T09:15:00Z"}, ["no_alert"]),
    ],
)
async def test_results_are_what_all_filters_select(
    client: httpx.AsyncClient, params: dict[str, Any], expected: list[str]
) -> None:
    assert [item["outcome"] for item in await items(client, RESULTS, **params)] == expected


async def test_results_have_lists_of_their_own(client: httpx.AsyncClient) -> None:
    (alerted,) = await items(client, RESULTS, outcome="alerted")
    lists = {
        "detected/list": ["alerted"],
        "not-detected/list": ["no_alert"],
        "recent/1": ["no_alert", "alerted"],
        f"by-execution/{alerted['detection_execution_id']}": ["alerted"],
    }
    for path, expected in lists.items():
        assert [item["outcome"] for item in await items(client, f"{RESULTS}/{path}")] == expected


async def test_a_result_alone_tells_what_the_backend_answered(client: httpx.AsyncClient) -> None:
    (listed,) = await items(client, RESULTS, outcome="alerted")
    alone = (await client.get(f"{RESULTS}/{listed['id']}")).json()
    assert alone.pop("raw_response", "absent") != "absent"
    assert alone == listed
    assert listed["operation_id"] == RED


@pytest.mark.parametrize(
    "path",
    [
        f"executions/{NOBODY}",
        f"executions/by-link-id/{NOBODY}",
        f"executions/by-operation/{NOBODY}",
        f"executions/with-operation/{NOBODY}",
        f"detections/executions/{NOBODY}",
        f"detections/executions/by-execution-result/{NOBODY}",
        f"detections/executions/by-operation/{NOBODY}",
        f"detections/results/{NOBODY}",
        f"detections/results/by-execution/{NOBODY}",
    ],
)
async def test_what_is_not_there_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(f"{API}/{path}")).status_code == 404


@pytest.mark.parametrize("path", [EXECUTIONS, CHECKS, RESULTS, f"{API}/operations"])
@pytest.mark.parametrize("sort", ["forwards", "backwards"])
async def test_cursors_show_every_row_once_in_the_order_of_one_page(
    client: httpx.AsyncClient, path: str, sort: str
) -> None:
    column = "started_at" if path == EXECUTIONS else "created_at"
    params: dict[str, Any] = {"sort": column if sort == "forwards" else f"-{column}"}
    whole = (await client.get(path, params=params)).json()
    assert whole["next"] is None
    shown = []
    params["size"] = 1
    for _ in whole["items"]:
        page = (await client.get(path, params=params)).json()
        shown += page["items"]
        assert page["total"] == whole["total"]
        params["after"] = page["next"]
    assert params["after"] is None
    assert shown == whole["items"]


async def test_a_cursor_goes_on_where_it_was_although_new_rows_came(
    client: httpx.AsyncClient, stations: Any, link: Callable[..., bytes]
) -> None:
    first = (await client.get(EXECUTIONS, params={"size": 2})).json()
    await stations.accepts(link(5, operation={"operation_id": RED}, collect="2026-01-15T09:00:09Z", finish=None))
    second = (await client.get(EXECUTIONS, params={"size": 2, "after": first["next"]})).json()
    assert steps_of([*first["items"], *second["items"]]) == [3, 2, 1, 4]


@pytest.mark.parametrize("after", ["x", "bm9uc2Vuc2U", "W10", "é", "A" * 3000])
async def test_a_text_that_is_no_cursor_names_the_field(client: httpx.AsyncClient, after: str) -> None:
    answer = await client.get(EXECUTIONS, params={"after": after})
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["after"]


async def test_a_cursor_belongs_to_its_order_and_replaces_the_number(client: httpx.AsyncClient) -> None:
    cursor = (await client.get(EXECUTIONS, params={"size": 1})).json()["next"]
    other = await client.get(EXECUTIONS, params={"after": cursor, "sort": "agent_host"})
    numbered = await client.get(EXECUTIONS, params={"after": cursor, "page": 2})
    told = [(answer.status_code, answer.json()["errors"][0]["field"]) for answer in (other, numbered)]
    assert told == [(400, "after"), (400, "page")]


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        (EXECUTIONS, "sort=command", "sort"),
        (EXECUTIONS, "from=2026-01-15T09:00:00", "from"),
        (EXECUTIONS, "to=yesterday", "to"),
        (EXECUTIONS, "operation_id=x", "operation_id"),
        (EXECUTIONS, "state=x", "state"),
        (EXECUTIONS, f"host={'x' * 256}", "host"),
        (EXECUTIONS, "status=x", "status"),
        (f"{EXECUTIONS}/recent/0", "", "hours"),
        (f"{EXECUTIONS}/recent/87601", "", "hours"),
        (CHECKS, "outcome=fine", "outcome"),
        (CHECKS, "status=fine", "status"),
        (CHECKS, "sort=deadline", "sort"),
        (RESULTS, "reason=fine", "reason"),
        (RESULTS, "detected=maybe", "detected"),
    ],
)
async def test_a_filter_that_is_wrong_names_the_field(
    client: httpx.AsyncClient, path: str, query: str, field: str
) -> None:
    answer = await client.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_number_that_no_database_holds_is_the_caller_s_error(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{EXECUTIONS}?status={'9' * 30}")).status_code == 400
