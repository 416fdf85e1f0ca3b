"""Changes as they happen, over real HTTP: told by every process, ended in time, resumed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from checking_core.storage import migrate

from .command import PATIENCE, Served, checking, served

OPERATION = "10000000-0000-4000-8000-000000000001"
EVENTS = "/api/v1/events/stream"


def message(link: int = 1) -> dict[str, Any]:
    """An execution whose one check is answered at once."""
    config = {"alert": {"rule": "any"}, "settle": 0, "mock": {"answer": "alerted"}}
    return {
        "message_type": "link_result",
        "timestamp": "2026-01-15T09:00:03Z",
        "operation": {"operation_id": OPERATION, "name": "op", "state": "finished"},
        "execution": {
            "link_id": f"20000000-0000-4000-8000-{link:012}",
            "agent_host": "ws01",
            "agent_paw": "paw",
            "command": "whoami",
            "status": 0,
            "link_state": "SUCCESS",
            "collect": "2026-01-15T09:00:00Z",
            "finish": "2026-01-15T09:00:02Z",
            "detections": [{"detection_type": "api", "detection_platform": "mock", "detection_config": config}],
        },
    }


class Reader:
    """Somebody who follows."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.place = ""

    def next(self) -> tuple[str, dict[str, Any]]:
        """The next event that means something."""
        kind = ""
        for line in self._lines:
            name, _, text = line.partition(": ")
            if name == "id":
                self.place = text
            elif name == "event":
                kind = text
            elif name == "data":
                return kind, json.loads(text)
        raise AssertionError("the stream has ended")

    def until(self, outcome: str) -> dict[str, Any]:
        """The event of a check that has this outcome."""
        while True:
            kind, told = self.next()
            if kind == "check" and told["outcome"] == outcome:
                return told

    def ends(self) -> None:
        """Read what is left."""
        for _ in self._lines:
            pass


@contextmanager
def reading(server: Served, **asked: Any) -> Iterator[Reader]:
    with httpx.stream("GET", server.url + EVENTS, timeout=PATIENCE, **asked) as answer:
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        reader = Reader(answer.iter_lines())
        while not reader.place:  # it follows from here on
            name, _, text = next(reader._lines).partition(": ")
            reader.place = text if name == "id" else ""
        yield reader


def ingest(server: Served, link: int = 1, *, key: str | None = None) -> None:
    headers = {} if key is None else {"X-API-Key": key}
    answer = httpx.post(
        f"{server.url}/api/v1/ingest/link-results", json=message(link), headers=headers, timeout=PATIENCE
    )
    answer.raise_for_status()


def test_a_check_is_told_from_its_plan_to_its_verdict_and_who_comes_back_misses_nothing(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        with reading(server) as reader:
            ingest(server)
            assert reader.next() == ("operation", {"operation_id": OPERATION, "state": "finished"})
            place = reader.place
            told = reader.until("alerted")
            assert (told["operation_id"], told["detection_platform"], told["reason"]) == (
                OPERATION,
                "mock",
                "matched_alert",
            )
        with reading(server, headers={"Last-Event-ID": place}) as back:
            assert back.until("alerted") == told
        other = {"operation_id": "10000000-0000-4000-8000-000000000002"}
        with reading(server, params=other, headers={"Last-Event-ID": place}) as elsewhere:
            server.process.send_signal(signal.SIGTERM)
            elsewhere.ends()


def test_a_server_with_streams_that_nobody_reads_ends_within_three_seconds(tmp_path: Path) -> None:
    with served(tmp_path) as server, reading(server), reading(server) as reader:
        ingest(server)
        reader.until("alerted")
        began = time.monotonic()
        assert server.ended_by(signal.SIGINT) == 0
        assert time.monotonic() - began < 3  # promised to operators, far above what it takes
        assert "Traceback" not in server.log


@pytest.mark.postgres
async def test_what_one_process_does_is_told_by_another(tmp_path: Path, postgres_url: str) -> None:
    await migrate.upgrade(postgres_url)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    url = {"DATABASE_URL": postgres_url}
    with (
        served(folders[0], **url) as works,
        served(folders[1], **url) as tells,
        reading(tells) as reader,
    ):
        ingest(works, link=7)
        assert reader.until("alerted")["detection_platform"] == "mock"


def test_who_has_no_key_follows_nothing(tmp_path: Path) -> None:
    checking(tmp_path, "keys", "create", "me", "--role", "viewer")
    with served(tmp_path, access=()) as server:
        assert httpx.get(server.url + EVENTS, timeout=PATIENCE).status_code == 401
