"""A product in memory that is searched by window, its detector, and a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pydantic_settings import BaseSettings

from checking_core import Alert, Ask, Event, Finding, Rule, SearchAnswer, SearchDetector, SearchRequest
from checking_core.matching.record import AnyRecord
from checking_core.plugin.base import NoSettings
from checking_core.testing import ENDED, STARTED, a_task

DEADLINE = ENDED + timedelta(seconds=1200)


class Clock:
    def __init__(self) -> None:
        self.now = DEADLINE + timedelta(minutes=1)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class MemoryDetector(SearchDetector):
    """Attributes say what the product holds and how it behaves; ``requests`` is what it was asked."""

    platform = "memory"
    answers = frozenset(Ask)
    aliases: Sequence[str] = ()
    known_rules: Sequence[Rule] | None = None

    def __init__(self, *records: AnyRecord, clock: Clock | None = None, settings: BaseSettings | None = None) -> None:
        self.time = clock or Clock()
        super().__init__("memory", settings or NoSettings(), clock=self.time, sleep=self.nap)
        self.records = list(records)
        self.requests: list[SearchRequest] = []
        self.before: Callable[[SearchRequest], Any] | None = None
        self.asked_names = self.asked_rules = 0
        self.hold: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def nap(self, seconds: float) -> None:
        self.time.forward(seconds)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        self.requests.append(request)
        self.asked.set()
        if self.before is not None and (answer := self.before(request)) is not None:
            return answer
        if self.hold is not None:
            await self.hold.wait()
        found = [record for record in self.records if self.holds(record, request)]
        return SearchAnswer(
            records=[{"record": record} for record in found[: request.limit]],
            complete=len(found) <= request.limit,
        )

    def holds(self, record: AnyRecord, request: SearchRequest) -> bool:
        if (request.ask is Ask.ALERT) is not isinstance(record, Alert):
            return False
        if request.hosts and not set(request.hosts) & set(record.hosts):
            return False
        if request.alert and request.alert.rule and request.alert.rule != record.rule:
            return False
        return request.window.holds(record.event_at)

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        return record["record"]

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        literals = ",".join(map(json.dumps, values))
        return literals[1:-1] if quoted else literals

    async def host_names(self, host: str) -> Sequence[str]:
        self.asked_names += 1
        return self.aliases

    async def rules(self) -> Sequence[Rule] | None:
        self.asked_rules += 1
        return self.known_rules

    async def look(self, *asks: Ask, **task: Any) -> Finding:
        """One look at several questions; ``config`` changes what is asked."""
        sections = {ask.value: {"query": "*"} if ask is not Ask.ALERT else {"rule": "LSASS dump"} for ask in asks}
        config = {**sections, **task.pop("config", {})}
        fields = {"detection_config": config, "created_at": self.time.now, "deadline": DEADLINE}
        return await self.detect(a_task(**(fields | task)))


def an_alert(**changes: Any) -> Alert:
    fields = {
        "id": "alert-1",
        "hosts": ("ws01",),
        "rule": "LSASS dump",
        "pid": 4242,
        "event_at": STARTED,
        "created_at": ENDED + timedelta(seconds=30),
    }
    return Alert(**(fields | changes))


def an_event(**changes: Any) -> Event:
    fields = {"id": "event-1", "hosts": ("ws01",), "pid": 4242, "event_at": STARTED}
    return Event(**(fields | changes))


def without(record: AnyRecord, *names: str) -> AnyRecord:
    empty = {name: () if isinstance(getattr(record, name), tuple) else None for name in names}
    return msgspec.structs.replace(record, **empty)
