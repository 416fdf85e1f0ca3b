"""A product that is searched by HTTP, its detector, and how it is played: pages, limits, credentials, troubles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import respx
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from checking_core import (
    Alert,
    Ask,
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    Event,
    Health,
    Prevention,
    SearchAnswer,
    SearchDetector,
    SearchRequest,
)
from checking_core.matching.record import AnyRecord
from checking_core.testing import RETRY_AFTER, Stage, Trouble

URL = "https://siem.example"
PAGE = 50


class HttpSettings(BaseSettings):
    token: SecretStr = SecretStr("")


class HttpDetector(SearchDetector):
    """Asks page after page."""

    platform = "http-product"
    answers = frozenset(Ask)
    Settings = HttpSettings
    settings: HttpSettings

    async def start(self) -> None:
        headers = {"Authorization": f"Bearer {self.settings.token.get_secret_value()}"}
        self.client = httpx.AsyncClient(base_url=URL, headers=headers)

    async def close(self) -> None:
        if hasattr(self, "client"):
            await self.client.aclose()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        records: list[dict[str, Any]] = []
        page: int | None = 0
        while page is not None and len(records) < request.limit:
            answer = await self.ask(ask=request.ask.value, query=request.query, page=page)
            records += answer["records"]
            page = answer["next"]
        return SearchAnswer(records=records, complete=page is None and not answer["partial"])

    async def self_check(self) -> Health:
        await self.start()
        await self.ask(ask="alert", query=None, page=0)
        await self.close()
        return Health(ok=True)

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        kind = Alert if "created" in record else Event
        own = {"severity": record["severity"], "prevention": Prevention(record["prevention"])} if kind is Alert else {}
        return kind(
            id=record["id"],
            title=record["title"],
            hosts=(record["host"],),
            pid=record["pid"],
            commands=(record["command"],) if record["command"] else (),
            rule=record["rule"],
            event_at=datetime.fromisoformat(record["time"]),
            fields=record["fields"],
            **own,
            **({"created_at": datetime.fromisoformat(record["created"])} if kind is Alert else {}),
        )

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        literals = ", ".join(json.dumps(value) for value in values)
        return literals[1:-1] if quoted else literals

    async def ask(self, **question: Any) -> Any:
        try:
            answer = await self.client.post("/search", json=question)
        except httpx.TransportError as error:
            raise BackendUnreachableError(type(error).__name__) from error
        match answer.status_code:
            case 200:
                return answer.json()
            case 401:
                raise BackendAuthFailedError("401")
            case 429:
                wait = timedelta(seconds=int(answer.headers["Retry-After"]))
                raise BackendRateLimitedError("429", retry_after=wait)
            case status:
                raise BackendUnreachableError(str(status))


class HttpStage(Stage):
    """The product behind ``URL``. ``asked`` counts the requests."""

    def __init__(self, router: respx.Router, kind: type[HttpDetector] = HttpDetector) -> None:
        self.kind = kind
        self.asked = 0
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.trouble: Trouble | None = None
        router.post(f"{URL}/search").mock(side_effect=self.answer)

    def detector(self, **options: Any) -> HttpDetector:
        return self.kind("http", HttpSettings(token=SecretStr(self.secret)), **options)

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        self.records[ask] = [written(record) for record in records]

    def suffer(self, trouble: Trouble | None) -> None:
        self.trouble = trouble

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        match self.trouble:
            case Trouble.AWAY:
                raise httpx.ConnectError("refused", request=request)
            case Trouble.REFUSES:
                return httpx.Response(401)
            case Trouble.LIMITS:
                return httpx.Response(429, headers={"Retry-After": f"{RETRY_AFTER.total_seconds():.0f}"})
            case Trouble.HANGS:
                await asyncio.Event().wait()
            case Trouble.GARBLED:
                return httpx.Response(200, text="<html>Please log in</html>")
        question = json.loads(request.content)
        page, records = question["page"], self.records.get(question["ask"], [])
        shown = records[page * PAGE : (page + 1) * PAGE]
        more = page + 1 if (page + 1) * PAGE < len(records) else None
        return httpx.Response(200, json={"records": shown, "next": more, "partial": self.trouble is Trouble.PARTIAL})


def written(record: AnyRecord) -> dict[str, Any]:
    """A record as the product tells it."""
    told = {
        "id": record.id,
        "title": record.title,
        "host": record.hosts[0],
        "pid": record.pid,
        "command": "".join(record.commands),
        "rule": record.rule,
        "time": record.event_at.isoformat(),
        "fields": dict(record.fields),
    }
    if isinstance(record, Alert):
        own = {"created": record.created_at, "severity": record.severity, "prevention": record.prevention}
        told |= msgspec.to_builtins(own)
    return told
