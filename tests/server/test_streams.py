"""The buffers between what changes and who follows it: bounded, and honest about what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from litestar import Litestar

from checking_core.storage import Store
from checking_core.storage.notices import OperationNotice
from checking_server.api.streams import Lost, Numbered, Stream, Streams

from .api_client import app_on

FIRST, SECOND = uuid4(), uuid4()


def notice(operation: UUID = FIRST) -> OperationNotice:
    return OperationNotice(operation_id=operation, state="running")


async def told(stream: Stream) -> list[object]:
    """What waits: changes by their numbers, and what is missing."""
    waiting = await stream.next(0.001)
    assert waiting is not None
    return [one.number if isinstance(one, Numbered) else one for one in waiting]


async def test_every_reader_is_told_what_changes_while_it_reads():
    streams = Streams()
    streams.tell([notice()])
    with streams.opened() as early:
        streams.tell([notice(), notice()])
        with streams.opened() as late:
            streams.tell([notice()])
            assert (await told(early), await told(late)) == ([2, 3, 4], [4])
            assert streams.readers == 2
    assert streams.readers == 0


async def test_a_reader_may_follow_one_operation():
    streams = Streams()
    with streams.opened(SECOND) as stream:
        streams.tell([notice(FIRST), notice(SECOND)])
        assert await told(stream) == [2]


async def test_who_does_not_read_loses_the_oldest_and_is_told_how_many():
    streams = Streams(buffered=3)
    with streams.opened() as stream:
        streams.tell([notice()] * 5)
        assert await told(stream) == [Lost(2), 3, 4, 5]
        assert await told(stream) == []


async def test_who_comes_back_is_told_what_came_meanwhile():
    streams = Streams()
    streams.tell([notice()])
    place = streams.place()
    streams.tell([notice(FIRST), notice(SECOND)])
    with streams.opened(after=place) as stream:
        assert await told(stream) == [2, 3]


@pytest.mark.parametrize("after", ["", "elsewhere-1", "-", "x", "{since}-99", "{since}-0", "{since}-²", "{since}-"])
async def test_who_comes_back_too_late_or_from_elsewhere_is_told_that_something_is_missing(after):
    streams = Streams(kept=2)
    streams.tell([notice()] * 5)
    since = streams.place().partition("-")[0]
    with streams.opened(after=after.format(since=since)) as stream:
        assert await told(stream) == [Lost(None)]


async def test_after_a_gap_every_reader_is_told_that_something_may_be_missing():
    streams = Streams()
    with streams.opened() as stream:
        place = streams.place()
        streams.tell([notice()])
        streams.gap()
        assert await told(stream) == [Lost(None), 1]
    with streams.opened(after=place) as back:
        assert await told(back) == [Lost(None)]


async def test_a_closed_stream_ends_whoever_waits_and_whoever_comes():
    streams = Streams()
    with streams.opened() as stream:
        waiting = asyncio.create_task(stream.next(60))
        await asyncio.sleep(0)
        streams.close()
        assert await waiting is None
    with streams.opened() as late:
        assert await late.next(60) is None


def test_only_so_many_may_read():
    streams = Streams(most=1)
    assert not streams.full
    with streams.opened():
        assert streams.full
    assert not streams.full


async def test_of_streams_that_are_opened_together_no_more_than_the_limit_are_told(tmp_path: Path) -> None:
    streams = Streams(most=2)
    async with Store(f"sqlite+aiosqlite:///{tmp_path / 'checking.db'}") as store:
        app = app_on(store, parts={"streams": streams})
        readers = [StreamReader(app) for _ in range(4)]
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.read())
            statuses = [await reader.status for reader in readers]
            assert (sorted(statuses), streams.readers) == ([200, 200, 429, 429], 2)
            for reader in readers:
                reader.gone.set()
    assert streams.readers == 0


class StreamReader:
    """One request for the stream, straight to the application, until the reader is gone."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.gone = asyncio.Event()

    async def read(self) -> None:
        path = "/api/v1/events/stream"
        scope = {"type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": "GET", "scheme": "http"}
        where = {"path": path, "raw_path": path.encode(), "root_path": "", "query_string": b""}
        ends = {"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1337)}
        app: Any = self._app
        await app({**scope, **where, **ends, "app": app, "headers": [], "state": {}}, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status.set_result(message["status"])
