"""What the tests of three products rest on: a fake that can be asked, counted, killed and started again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import JSONResponse
from starlette.routing import Route

from .process import Fake, Request, most_at_once, most_within
from .serving import Told

HERE = "tests.fakes.test_process:create_app"
OWNER = f"""
import sys
from tests.fakes import Fake
fake = Fake("{HERE}")
fake.start()
print(fake._process.pid, flush=True)
sys.stdin.read()
"""


def create_app(told: Told) -> Starlette:
    """Says what it was told."""

    async def say(_: Asked) -> JSONResponse:
        return JSONResponse(told())

    return Starlette(routes=[Route("/said", say)])


@pytest.fixture
def fake() -> Iterator[Fake]:
    with Fake(HERE, ["first"]) as started:
        yield started


def test_a_fake_holds_what_it_was_told_last(fake: Fake) -> None:
    assert httpx.get(f"{fake.url}/said").json() == ["first"]
    fake.tell({"second": 2})
    assert httpx.get(f"{fake.url}/said").json() == {"second": 2}


def test_a_killed_fake_refuses_and_comes_back_at_the_same_address_with_its_records(fake: Fake) -> None:
    fake.kill()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{fake.url}/said")
    fake.start()
    assert httpx.get(f"{fake.url}/said").json() == ["first"]


def test_every_request_is_told_with_its_answer_until_it_is_forgotten(fake: Fake) -> None:
    httpx.get(f"{fake.url}/said")
    httpx.post(f"{fake.url}/unknown")
    said, unknown = fake.seen()
    assert (said.method, said.path, said.status) == ("GET", "/said", 200)
    assert (unknown.method, unknown.path, unknown.status) == ("POST", "/unknown", 404)
    assert said.ended is not None
    assert said.began <= said.ended <= unknown.began
    assert fake.seen("/said") == [said]
    fake.forget()
    assert fake.seen() == []


async def test_requests_that_overlap_are_counted_together() -> None:
    with Fake(HERE, delay=0.5) as slow:
        async with httpx.AsyncClient(base_url=slow.url) as client:
            await asyncio.gather(*(client.get("/said") for _ in range(3)))
            await client.get("/said")
        assert most_at_once(slow.seen()) == 3


def test_the_most_within_a_span_is_that_of_the_densest_one() -> None:
    began = [0.0, 1.0, 1.5, 1.9, 3.0]
    assert most_within([Request("GET", "/", at, at, 200) for at in began], 1.0) == 3
    assert most_within([], 1.0) == most_at_once([]) == 0


def test_an_answer_that_never_went_out_lasts_until_the_end() -> None:
    assert most_at_once([Request("GET", "/", 0.0, None, 0), Request("GET", "/", 9.0, 9.5, 200)]) == 2


def test_a_fake_does_not_outlive_tests_that_were_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        process = psutil.Process(int(owner.stdout.readline()))
        owner.kill()
    _, alive = psutil.wait_procs([process], timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
