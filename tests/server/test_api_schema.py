"""The API's description of itself."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.acceptance.command import checking

from checking_core.storage import Store
from checking_server.api.app import openapi_spec
from checking_server.api.described import kinds
from checking_server.api.docs_page import STYLE_HASH, page_of
from checking_server.api.examples import EXAMPLES

from .api_client import client_of


@pytest.fixture
async def schema(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store, client_of(store) as client:
        answer = await client.get("/schema")
        assert answer.json() == (await client.get("/schema/openapi.json")).json()
        yield answer.json()


SNAPSHOT = Path(__file__).parents[2] / "docs/reference/openapi.json"


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


def test_a_post_may_be_sent_again_under_a_key_but_for_those_that_answer_secrets(schema: dict[str, Any]) -> None:
    takes_key = {
        route["operationId"]
        for _, route in _routes(schema)
        if "Idempotency-Key" in [one["name"] for one in route.get("parameters", ())]
    }
    posts = {methods["post"]["operationId"] for methods in schema["paths"].values() if "post" in methods}
    assert posts - takes_key == {"create_token", "create_api_key"}
    assert {route["operationId"] for _, route in _routes(schema) if "422" in route["responses"]} == takes_key


def test_every_shape_is_described_and_those_that_refuse_unknown_fields_say_so(schema: dict[str, Any]) -> None:
    shapes = schema["components"]["schemas"]
    assert [name for name, shape in shapes.items() if shape.get("type") == "object" and not shape["description"]] == []
    strict = {name for name, shape in shapes.items() if shape.get("additionalProperties") is False}
    assert strict == {name for name in shapes if name.startswith(("Wanted", "Corrected"))}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_the_shape_that_it_is_of(schema: dict[str, Any], name: str) -> None:
    shape = schema["components"]["schemas"][name]
    (example,) = shape["examples"]
    assert example.keys() <= shape["properties"].keys()
    assert set(shape.get("required", ())) <= example.keys()
    msgspec.convert(example, kinds()[name])


def test_the_framework_is_imported_by_whoever_serves_and_nobody_else() -> None:
    code = "import sys, checking_server.cli, checking_server.commands.serve; print('litestar' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("False", "")


def test_the_description_that_is_kept_is_the_one_that_is_served(schema: dict[str, Any]) -> None:
    """After a change of the API: checking openapi --output docs/reference/openapi.json."""
    kept = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert kept == json.loads(json.dumps(openapi_spec()))
    assert kept == schema


def test_the_command_writes_it_with_or_without_a_file(tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    written, printed = checking(tmp_path, "openapi", "--output", str(file)), checking(tmp_path, "openapi")
    assert (written.returncode, written.stdout, printed.stdout) == (0, "", file.read_text(encoding="utf-8"))
    nowhere = checking(tmp_path, "openapi", "--output", str(tmp_path / "no/folder.json"))
    assert (nowhere.returncode, len(nowhere.stderr.splitlines())) == (2, 1)


async def test_the_page_has_every_route_and_needs_neither_script_nor_another_host(tmp_path: Path) -> None:
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store, client_of(store) as client:
        answer = await client.get("/schema/docs")
    page = answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert all(f">{html.escape(path)}<" in page.replace("</b>", "</b>>") for path in openapi_spec()["paths"])
    assert not re.search(r"<script|src=|https?://|@import|url\(", page)
    assert STYLE_HASH in answer.headers["content-security-policy"]


def test_what_a_plugin_or_a_docstring_says_is_text_on_the_page() -> None:
    about = {"tags": ["<b>"], "description": "<script>", "responses": {}}
    spec = {"info": {"title": "<i>", "version": "&"}, "paths": {"/<u>": {"get": about}}}
    assert not re.search(r"<script|<i>|<u>|<h2><b>", page_of(spec))
