"""The token, the region and the limit of requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import respx
from pydantic import SecretStr

from checking_core import BackendAuthFailedError, BackendRateLimitedError, BackendUnreachableError
from checking_core.testing import KitClock
from checking_plugin_crowdstrike.client import CrowdStrikeClient
from checking_plugin_crowdstrike.clouds import Cloud, address_of, cloud_named
from checking_plugin_crowdstrike.queries import ALERTS, newest
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

from .crowdstrike_stage import CrowdStrikeStage, failure, page, token

CALL = newest(ALERTS).page()


class Falcon(CrowdStrikeStage):
    """Lets in with tokens of rising number, and knows which of them are good."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__(router)
        self.good = {"token-1"}
        self.log_in: list[httpx.Response] = []
        self.answers: list[httpx.Response] = []

    def let_in(self, _: httpx.Request) -> httpx.Response:
        return self.log_in.pop(0) if self.log_in else token(f"token-{len(self.log_ins)}")

    def found(self, request: httpx.Request) -> httpx.Response:
        if self.answers:
            return self.answers.pop(0)
        if request.headers["Authorization"].removeprefix("Bearer ") in self.good:
            return httpx.Response(200, json=page([]))
        return failure(401, "access denied, invalid bearer token")

    @property
    def hosts(self) -> list[str]:
        return [one.url.host for one in (*self.log_ins, *self.asked)]


@pytest.fixture
def falcon() -> Iterator[Falcon]:
    with respx.mock(assert_all_called=False) as router:
        yield Falcon(router)


@pytest.fixture
def clock() -> KitClock:
    return KitClock()


@pytest.fixture
async def made(clock: KitClock) -> AsyncIterator[Any]:
    """Makes clients."""
    async with AsyncExitStack() as stack:

        def make(**changes: Any) -> CrowdStrikeClient:
            settings = CrowdStrikeSettings(client_id="id", client_secret=SecretStr("s&cret"), **changes)
            client = CrowdStrikeClient(settings, clock)
            stack.push_async_callback(client.close)
            return client

        yield make


async def test_the_log_in_is_a_form_with_what_the_settings_say(falcon: Falcon, made: Any) -> None:
    await made(member_cid="m1").ask(CALL)
    (log_in,) = falcon.log_ins
    assert parse_qs(log_in.content.decode()) == {"client_id": ["id"], "client_secret": ["s&cret"], "member_cid": ["m1"]}
    assert log_in.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_one_token_serves_all_requests_at_once(falcon: Falcon, made: Any) -> None:
    client = made()
    await asyncio.gather(*(client.ask(CALL) for _ in range(20)))
    assert (len(falcon.log_ins), len(falcon.asked)) == (1, 20)


async def test_a_token_that_is_refused_is_renewed_once_for_all(falcon: Falcon, made: Any) -> None:
    client = made()
    await client.ask(CALL)
    falcon.good = {"token-2"}
    replies = await asyncio.gather(*(client.ask(CALL) for _ in range(10)))
    assert {reply.status for reply in replies} == {200}
    assert len(falcon.log_ins) == 2


async def test_a_renewed_token_that_is_refused_too_is_told(falcon: Falcon, made: Any) -> None:
    falcon.good = set()
    with pytest.raises(BackendAuthFailedError, match="invalid bearer token"):
        await made().ask(CALL)
    assert (len(falcon.log_ins), len(falcon.asked)) == (2, 2)


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_renewed_token_that_is_refused_too_ends_the_log_ins_for_a_while(
    falcon: Falcon, made: Any, clock: KitClock, at_once: bool
) -> None:
    client = made()
    falcon.good = set()
    if at_once:
        told = await asyncio.gather(*(client.ask(CALL) for _ in range(10)), return_exceptions=True)
        assert {type(error) for error in told} == {BackendAuthFailedError}
    else:
        for _ in range(10):
            with pytest.raises(BackendAuthFailedError, match="invalid bearer token"):
                await client.ask(CALL)
    assert len(falcon.log_ins) == 2
    clock.now += timedelta(minutes=6)
    falcon.good = {"token-3"}
    assert (await client.ask(CALL)).status == 200


@pytest.mark.parametrize(("after", "log_ins"), [(1678, 1), (1680, 2)])
async def test_a_token_is_renewed_two_minutes_before_it_runs_out(
    falcon: Falcon, made: Any, clock: KitClock, after: int, log_ins: int
) -> None:
    client = made()
    falcon.good = {"token-1", "token-2"}
    await client.ask(CALL)
    clock.now += timedelta(seconds=after)
    await client.ask(CALL)
    assert len(falcon.log_ins) == log_ins


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_log_in_that_is_refused_is_not_tried_again_at_once(falcon: Falcon, made: Any, status: int) -> None:
    client = made()
    falcon.log_in = [failure(status, "access denied, authorization failed")]
    for _ in range(3):
        with pytest.raises(BackendAuthFailedError, match="the log-in was refused"):
            await client.ask(CALL)
    assert (len(falcon.log_ins), len(falcon.asked)) == (1, 0)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_log_in_that_fails_for_now_is_an_outage(falcon: Falcon, made: Any, status: int) -> None:
    client = made()
    falcon.log_in = [httpx.Response(status)]
    falcon.good = {"token-2"}
    with pytest.raises(BackendUnreachableError):
        await client.ask(CALL)
    assert (await client.ask(CALL)).status == 200


async def test_who_is_at_home_elsewhere_is_asked_there(falcon: Falcon, made: Any) -> None:
    client = made()
    falcon.log_in = [token("token-1", region="us-2")]
    await client.ask(CALL)
    assert falcon.hosts == ["api.crowdstrike.com", "api.us-2.crowdstrike.com"]
    assert client.console == "https://falcon.us-2.crowdstrike.com"


@pytest.mark.parametrize("status", [308, 403])
async def test_a_log_in_at_the_wrong_door_is_tried_at_the_right_one(falcon: Falcon, made: Any, status: int) -> None:
    away = {"X-CS-Region": "eu-1", "Location": "https://proxy.example/oauth2/token"}
    falcon.log_in = [httpx.Response(status, headers=away), token("token-1", region="eu-1")]
    await made().ask(CALL)
    assert falcon.hosts == ["api.crowdstrike.com", "api.eu-1.crowdstrike.com", "api.eu-1.crowdstrike.com"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "us-gov-1"),
        ({}, "us-9"),
        ({}, "proxy.example"),
        ({"cloud": "us-gov-1"}, "us-2"),
        ({"base_url": "https://proxy.example"}, "us-2"),
        ({"base_url": "https://api.crowdstrike.com/"}, "us-1"),
    ],
)
async def test_nobody_is_sent_where_a_secret_has_no_business(
    falcon: Falcon, made: Any, settings: dict[str, str], told: str
) -> None:
    falcon.log_in = [token("token-1", region=told)]
    await made(**settings).ask(CALL)
    assert len(set(falcon.hosts)) == 1


async def test_a_redirect_is_not_followed(falcon: Falcon, made: Any) -> None:
    falcon.log_in = [httpx.Response(302, headers={"Location": "https://proxy.example/oauth2/token"})]
    with pytest.raises(Exception, match="HTTP 302"):
        await made().ask(CALL)
    assert falcon.hosts == ["api.crowdstrike.com"]


async def test_nothing_is_sent_before_the_moment_that_falcon_named(falcon: Falcon, made: Any, clock: KitClock) -> None:
    client = made()
    until = f"{(clock.now + timedelta(seconds=90)).timestamp():.0f}"
    falcon.answers = [failure(429, "API rate limit exceeded.", {"X-RateLimit-RetryAfter": until})]
    waits = []
    for _ in range(3):
        with pytest.raises(BackendRateLimitedError) as told:
            await client.ask(CALL)
        waits.append(told.value.retry_after)
        clock.now += timedelta(seconds=20)
    assert [round(wait.total_seconds()) for wait in waits] == [90, 70, 50]
    assert len(falcon.asked) == 1
    clock.now += timedelta(seconds=31)
    assert (await client.ask(CALL)).status == 200


async def test_a_limit_without_a_moment_holds_nobody_back(falcon: Falcon, made: Any) -> None:
    client = made()
    falcon.answers = [failure(429, "API rate limit exceeded.")]
    with pytest.raises(BackendRateLimitedError):
        await client.ask(CALL)
    assert (await client.ask(CALL)).status == 200


async def test_a_limit_of_log_ins_is_one_of_requests(falcon: Falcon, made: Any) -> None:
    client = made()
    falcon.log_in = [failure(429, "API rate limit exceeded.", {"Retry-After": "60"})]
    for _ in range(2):
        with pytest.raises(BackendRateLimitedError):
            await client.ask(CALL)
    assert len(falcon.log_ins) == 1


async def test_the_trace_in_a_header_counts_before_that_in_the_body(falcon: Falcon, made: Any) -> None:
    falcon.answers = [failure(404, "gone", {"X-CS-TRACEID": "a-trace"})]
    with pytest.raises(Exception, match=r"HTTP 404: gone, trace a-trace$"):
        await made().ask(CALL)


async def test_a_trace_that_is_none_is_not_repeated(falcon: Falcon, made: Any) -> None:
    falcon.answers = [failure(404, "gone", {"X-CS-TRACEID": "a trace\tof words"})]
    with pytest.raises(Exception, match=r"HTTP 404: gone$"):
        await made().ask(CALL)


@pytest.mark.parametrize("cloud", Cloud)
def test_each_cloud_is_known_as_its_tools_write_it(cloud: Cloud) -> None:
    written = (cloud, cloud.upper(), cloud.replace("-", ""), cloud.replace("-", "_"), f" {cloud} ")
    assert {cloud_named(name) for name in written} == {cloud}
    assert address_of(cloud).startswith("https://api.")
