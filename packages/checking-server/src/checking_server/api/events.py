"""Changes as they happen, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Request, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, TooManyRequestsException
from litestar.params import HeaderParameter
from litestar.response import Stream

from checking_core.errors import UnavailableError
from checking_server.access import Keyring
from checking_server.api.filters import query
from checking_server.api.guards import recognised
from checking_server.api.problems import RETRY_AFTER, problems
from checking_server.api.streams import Lost, Streams, Told

__all__ = ["ENDLESS", "HEARTBEAT", "PATH", "router"]

PATH = "/events/stream"
"""Below the version. What goes through is not packed: it has to leave at once."""

ENDLESS = "endless"
"""What the state of a request says whose answer has no end of its own."""

HEARTBEAT = 15.0
"""Seconds after which a line without meaning says that the stream is alive."""

_COME_BACK_MS = 2_000
_BEAT = b":\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@get("/stream", media_type="text/event-stream", responses=problems(HTTPStatus.TOO_MANY_REQUESTS))
async def stream_events(
    request: Request[Any, Any, Any],
    streams: NamedDependency[Streams],
    keyring: NamedDependency[Keyring | None],
    operation_id: Annotated[UUID | None, query("`operation_id` of the one operation to follow")] = None,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", max_length=100, description="`id` of the last event that was read"),
    ] = None,
) -> Stream:
    """What changes from now on, or from the last event on that was read: operations and checks, each once committed."""
    if streams.full:
        raise TooManyRequestsException("too many streams are open here", headers=RETRY_AFTER)
    request.scope["state"][ENDLESS] = True
    known = partial(_still_known, request, keyring)
    told = _told(streams, operation_id, last_event_id, known)
    first = await anext(told)  # takes its place at once: of many that come together only so many find one
    return Stream(_continued(first, told), media_type="text/event-stream", headers=_HEADERS)


async def _continued(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(rest):
        yield first
        async for lines in rest:
            yield lines


async def _told(
    streams: Streams, operation_id: UUID | None, after: str | None, known: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes]:
    """The lines, until the stream ends or nobody knows any more who asked for it."""
    with streams.opened(operation_id, after=after) as stream:
        yield f"retry: {_COME_BACK_MS}\nid: {after or streams.place()}\n\n".encode()
        beat = monotonic() + HEARTBEAT
        while (told := await stream.next(max(0.0, beat - monotonic()))) is not None:
            if monotonic() >= beat:
                beat = monotonic() + HEARTBEAT
                if not await known():
                    return
            yield b"".join(_lines(one, streams) for one in told) or _BEAT


def _lines(told: Told, streams: Streams) -> bytes:
    if isinstance(told, Lost):
        return b"event: lost\ndata: %b\n\n" % msgspec.json.encode(told)
    kind, data = told.notice.__struct_config__.tag, msgspec.structs.asdict(told.notice)
    place = streams.place(told.number)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (place.encode(), str(kind).encode(), msgspec.json.encode(data))


async def _still_known(request: Request[Any, Any, Any], keyring: Keyring | None) -> bool:
    """Whether the key or the token is as good as when the stream was opened."""
    if keyring is not None:
        try:
            await recognised(keyring, request)
        except NotAuthorizedException:
            return False
        except UnavailableError:  # it cannot be told now
            return True
    return True


router = Router("/events", route_handlers=[stream_events], tags=["events"])
