"""The API's description of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from checking_core.storage import Store

from .api_client import client_of


@pytest.fixture
async def schema(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store, client_of(store) as client:
        answer = await client.get("/schema")
        assert answer.json() == (await client.get("/schema/openapi.json")).json()
        yield answer.json()


def _routes(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((path, route) for path, methods in schema["paths"].items() for route in methods.values())


def test_it_is_openapi_3_1_and_needs_no_other_host(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    assert "://" not in json.dumps(schema)


def test_every_route_is_below_the_version_and_has_a_name_of_its_own(schema: dict[str, Any]) -> None:
    paths, names = zip(*((path, route["operationId"]) for path, route in _routes(schema)), strict=True)
    assert all(path.startswith("/api/v1/") for path in paths)
    assert len(set(names)) == len(names)


def test_every_failure_that_is_no_health_is_described_as_a_problem(schema: dict[str, Any]) -> None:
    failures = [
        (path, status, list(answer["content"]))
        for path, route in _routes(schema)
        for status, answer in route["responses"].items()
        if status >= "400" and "/health" not in path
    ]
    assert failures
    assert [failure for failure in failures if failure[2] != ["application/problem+json"]] == []
    assert "422" not in {status for _, status, _ in failures}


def test_the_framework_is_imported_by_whoever_serves_and_nobody_else() -> None:
    code = "import sys, checking_server.cli, checking_server.commands.serve; print('litestar' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
