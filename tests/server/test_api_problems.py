"""One shape for every error, and what every request gets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import structlog
from litestar import get, post
from litestar.params import FromPath, JSONBody
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from checking_core.errors import (
    BrokerUnavailableError,
    ConflictError,
    NotFoundError,
    RejectedMessageError,
    SchemaOutdatedError,
    StoreRejectedError,
    StoreUnavailableError,
)
from checking_core.storage import Store

from .api_client import app_on, client_of, client_of_app

KEYS = {"type", "title", "status", "detail", "status_code", "instance", "errors", "request_id"}

ERRORS = {
    "not-found": (NotFoundError("there is no such thing"), 404, "there is no such thing"),
    "conflict": (ConflictError("it is closed already"), 409, "it is closed already"),
    "rejected": (RejectedMessageError("execution.pid", "is no number"), 400, "execution.pid: is no number"),
    "refused": (StoreRejectedError("numeric out of range: 7"), 400, "the database can not store or compare"),
    "store-away": (StoreUnavailableError("no route to 10.0.0.9"), 503, "the database does not answer"),
    "broker-away": (BrokerUnavailableError("no route to 10.0.0.9"), 503, "the broker does not answer"),
    "old-schema": (SchemaOutdatedError("no column x"), 503, "run: checking db upgrade"),
    "bug": (KeyError("secret-of-the-server"), 500, "an unexpected error"),
}


class Thing(msgspec.Struct):
    count: int
    name: str = ""


@get("/raise/{name:str}")
async def raises(name: FromPath[str]) -> None:
    structlog.get_logger().info("on_the_way")
    raise ERRORS[name][0]


@post("/things")
async def take(data: JSONBody[Thing]) -> Thing:
    return data


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store:
        app = app_on(store, body_limit=100)
        app.register(raises)
        app.register(take)
        async with client_of_app(app) as opened:
            yield opened


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """What every error has in common."""
    problem: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == problem["status"] == problem["status_code"] == status
    assert problem.keys() == KEYS
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_says_by_its_class_what_the_caller_does_next(client: httpx.AsyncClient, name: str) -> None:
    _, status, detail = ERRORS[name]
    answer = await client.get(f"/raise/{name}")
    assert detail in assert_problem(answer, status)["detail"]
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("name", ["store-away", "broker-away", "old-schema", "refused", "bug"])
async def test_an_error_of_ours_is_told_in_the_log_and_not_to_the_caller(client: httpx.AsyncClient, name: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = await client.get(f"/raise/{name}")
    inside = str(ERRORS[name][0]).strip("'")
    assert inside not in answer.text
    told = [line for line in lines if line["event"] in ("request_failed", "request_postponed")]
    assert [line["request_id"] for line in told] == [answer.headers["x-request-id"]] * (name != "refused")
    assert all(inside in f"{line.get('problem')} {line.get('exc_info')}" for line in told)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/schema/nowhere", 404), ("DELETE", "/things", 405)],
)
async def test_a_request_that_leads_nowhere_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    assert_problem(await client.request(method, path), status)


async def test_a_wrong_method_says_which_are_right(client: httpx.AsyncClient) -> None:
    assert "POST" in (await client.get("/things")).headers["allow"]


async def test_a_body_of_the_wrong_shape_names_the_field(client: httpx.AsyncClient) -> None:
    problem = assert_problem(await client.post("/things", json={"count": "x"}), 400)
    assert [error["field"] for error in problem["errors"]] == ["count"]


async def test_a_body_that_is_no_json_is_malformed(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/things", content=b"{", headers={"content-type": "application/json"}), 400)


async def test_a_body_beyond_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/things", json={"count": 1, "name": "x" * 60})).status_code == 201
    assert_problem(await client.post("/things", json={"count": 1, "name": "x" * 100}), 413)


@pytest.mark.parametrize("given", ["7f3a", "Root=1-67891233-abcdef", "x" * 128])
async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/api/v1/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "a\x1b[31m", 'quo"ted'])
async def test_a_request_id_that_could_forge_a_log_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/api/v1/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] not in ("", given)


async def test_two_requests_never_get_the_same_id(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/api/v1/health/live") for _ in range(2)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 2


@pytest.mark.parametrize("path", ["/api/v1/health/live", "/nowhere", "/schema"])
async def test_every_answer_tells_its_time(client: httpx.AsyncClient, path: str) -> None:
    assert float((await client.get(path)).headers["x-process-time-ms"]) >= 0


async def test_a_request_is_one_line_in_the_log_without_its_query(client: httpx.AsyncClient) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        answer = await client.get("/nowhere/", params={"token": "s3cret"}, headers={"Authorization": "Bearer s3cret"})
    (line,) = lines
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/nowhere/", 404)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["ms"] >= 0
    assert "s3cret" not in str(line)


async def test_every_line_on_the_way_carries_the_request_s_id_and_none_after_it(client: httpx.AsyncClient) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        await client.get("/raise/conflict", headers={"X-Request-ID": "abc"})
        structlog.get_logger().info("afterwards")
    ids = {line["event"]: line.get("request_id") for line in lines}
    assert ids == {"on_the_way": "abc", "request": "abc", "afterwards": None}


async def test_serving_leaves_the_logging_of_the_process_alone(client: httpx.AsyncClient) -> None:
    before = [(logger, list(logger.handlers), logger.level) for logger in (logging.getLogger(),)]
    await client.get("/raise/bug")
    assert [(logger, list(logger.handlers), logger.level) for logger, *_ in before] == before


@pytest.mark.parametrize("host", ["127.0.0.1:1337", "localhost:8080", "[::1]:1337", "LOCALHOST", ""])
async def test_the_server_answers_to_the_names_of_this_machine(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/api/v1/health/live", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example:1337",
        "localhost.evil.example",
        "localhost:x",
        "::1",
        "[",
        "me@localhost",
    ],
)
async def test_a_page_that_calls_this_machine_by_its_own_name_gets_nothing(
    client: httpx.AsyncClient, host: str
) -> None:
    answer = await client.get("/api/v1/operations", headers={"Host": host})
    assert (answer.status_code, answer.json()["status"]) == (421, 421)


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("POST", "/operations", None, "$: the body is missing: this needs one, of JSON"),
        ("POST", "/operations", {"name": "x"}, "operation_id: is missing"),
        ("GET", "/detections/results?met=maybe", None, "it is one of yes, no, unknown"),
        ("GET", "/executions?sort=pid", None, "it is one of -started_at, started_at,"),
        ("GET", "/executions?from=2026-01-01T00:00:00", None, "in a URL %2B01:00"),
    ],
)
async def test_what_is_missing_or_wrong_is_told_with_what_would_be_right(
    tmp_path: Path, method: str, path: str, body: Any, problem: str
) -> None:
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store, client_of(store) as client:
        answered = await client.request(method, f"/api/v1{path}", json=body)
    assert (answered.status_code, problem in answered.json()["detail"]) == (400, True), answered.text
