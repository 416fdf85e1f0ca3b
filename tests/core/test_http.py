"""Asking a product over HTTP: bounded, verified, and every failure says what happens next."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import respx

from checking_core.contracts import Reason
from checking_core.errors import (
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    DetectionError,
    FatalDetectionError,
    QueryInvalidError,
)
from checking_core.plugin.http import HttpClient, HttpReply, HttpSettings
from checking_core.plugin.http_failure import failure_of, retry_after_of

URL = "https://siem.example"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Raw(httpx.AsyncByteStream):
    """A body as it comes, which httpx has not unpacked beforehand."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 4096):
            yield self.body[start : start + 4096]


@pytest.fixture
def router() -> Iterator[respx.Router]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    client = HttpClient(f"{URL}/", HttpSettings(), most_bytes=1000, clock=lambda: NOW)
    yield client
    await client.close()


def reply(status: int = 200, body: bytes = b"{}", **headers: str) -> HttpReply:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status=status, headers=told, body=body, received_at=NOW)


async def test_an_answer_is_read_whatever_its_status(router: respx.Router, client: HttpClient) -> None:
    router.post(f"{URL}/search").respond(418, json={"tea": 1}, headers={"Date": "Fri, 20 Nov 2026 12:00:07 GMT"})
    answer = await client.ask("POST", "/search", json={})
    assert (answer.status, answer.json(), answer.clock_offset) == (418, {"tea": 1}, 7.0)


async def test_a_packed_answer_is_unpacked(router: respx.Router, client: HttpClient) -> None:
    packed = gzip.compress(json.dumps({"rows": [1, 2]}).encode())
    router.get(f"{URL}/rows").respond(200, content=packed, headers={"Content-Encoding": "gzip"})
    assert (await client.ask("GET", "rows")).json() == {"rows": [1, 2]}


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(b"x" * 50_000_000), "gzip", "more than 1000 bytes"),
        (b"x" * 1001, "identity", "more than 1000 bytes"),
        (gzip.compress(b"x" * 900)[:-9], "gzip", "cut off"),
        (b"no gzip at all", "gzip", "cannot be unpacked"),
        (b"x", "br", "not asked for"),
    ],
    ids=["bomb", "large", "truncated", "garbage", "other encoding"],
)
async def test_a_body_that_cannot_be_taken_is_an_outage(
    router: respx.Router, client: HttpClient, body: bytes, encoding: str, words: str
) -> None:
    packed = httpx.Response(200, stream=Raw(body), headers={"Content-Encoding": encoding})
    router.get(URL).mock(return_value=packed)
    with pytest.raises(BackendUnreachableError, match=words):
        await client.ask("GET", "")


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"rows": [1', b"[]", b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    with pytest.raises(BackendUnreachableError, match="no JSON object"):
        reply(body=body, content_type="text/html; charset=utf-8").json()


@pytest.mark.parametrize(
    "error",
    [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError, httpx.LocalProtocolError],
)
async def test_no_answer_is_an_outage_whose_cause_tells_no_address_and_no_secret(
    router: respx.Router, client: HttpClient, error: type[httpx.RequestError]
) -> None:
    router.get(URL).mock(
        side_effect=error("Illegal header value b'Bearer s3cret' for https://user:s3cret@siem.example")
    )
    with pytest.raises(BackendUnreachableError, match=error.__name__) as caught:
        await client.ask("GET", "")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
async def self_signed(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """The address of a product with a certificate of its own making, and that certificate."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    command += ["-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, timeout=60)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with await asyncio.start_server(answer, "localhost", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", certificate


async def test_a_certificate_that_nobody_vouches_for_is_not_tried_again(self_signed: tuple[str, Path]) -> None:
    client = HttpClient(self_signed[0], HttpSettings())
    with pytest.raises(FatalDetectionError, match="ca_cert") as caught:
        await client.ask("GET", "")
    await client.close()
    assert caught.value.reason is Reason.BACKEND_UNREACHABLE


async def test_a_certificate_is_trusted_when_its_authority_is_named(self_signed: tuple[str, Path]) -> None:
    address, certificate = self_signed
    client = HttpClient(address, HttpSettings(ca_cert=certificate))
    assert (await client.ask("GET", "")).json() == {}
    await client.close()


async def test_a_file_of_authorities_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    client = HttpClient(URL, HttpSettings(ca_cert=tmp_path / "ca.pem"))
    with pytest.raises(FatalDetectionError, match=r"ca\.pem"):
        await client.ask("GET", "")


def test_certificates_are_checked_unless_somebody_says_otherwise() -> None:
    assert HttpSettings().verify_ssl


async def test_a_redirection_is_not_followed(router: respx.Router, client: HttpClient) -> None:
    elsewhere = router.get("https://login.example/")
    router.get(URL).respond(302, headers={"Location": "https://login.example/"})
    answer = await client.ask("GET", "")
    assert (answer.status, elsewhere.called) == (302, False)
    assert type(failure_of(answer)) is FatalDetectionError


async def test_an_address_that_is_none_is_told() -> None:
    client = HttpClient("siem.example", HttpSettings())
    with pytest.raises(FatalDetectionError, match="no URL"):
        await client.ask("GET", "")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, QueryInvalidError),
        (401, BackendAuthFailedError),
        (403, BackendAuthFailedError),
        (404, QueryInvalidError),
        (406, FatalDetectionError),
        (408, BackendUnreachableError),
        (429, BackendRateLimitedError),
        (500, BackendUnreachableError),
        (503, BackendUnreachableError),
    ],
)
def test_each_status_says_what_happens_next(status: int, error: type[DetectionError]) -> None:
    failure = failure_of(reply(status), "because")
    assert type(failure) is error
    assert str(failure) == f"HTTP {status}: because"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "120"}, 120),
        ({"retry-after": "Fri, 20 Nov 2026 12:02:00 GMT"}, 120),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "9" * 12}, 86_400),
        ({"x-ratelimit-retryafter": str(int(NOW.timestamp()) + 30)}, 30),
        ({"x-ratelimit-retryafter": "1"}, 0),
        ({"x-ratelimit-retryafter": "never"}, None),
        ({"retry-after": "10", "x-ratelimit-retryafter": str(int(NOW.timestamp()) + 30)}, 30),
    ],
)
def test_a_product_is_left_alone_for_as_long_as_it_asks(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_of(headers, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_a_moment_to_come_back_is_told_by_the_products_clock() -> None:
    ahead = reply(429, date="Fri, 20 Nov 2026 13:00:00 GMT", x_ratelimit_retryafter=str(int(NOW.timestamp()) + 3660))
    failure = failure_of(ahead)
    assert isinstance(failure, BackendRateLimitedError)
    assert failure.retry_after == timedelta(minutes=1)
