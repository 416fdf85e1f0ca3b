"""The application: routes, one error map, and what every request gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Request, Router
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from checking_core.plugin.host import PluginHost
from checking_server.access import Keyring
from checking_server.api import (
    access,
    checks,
    dead_letters,
    events,
    executions,
    health,
    ingest,
    metrics,
    operations,
    plugins,
    results,
    statistics,
)
from checking_server.api.checkup import Checkup
from checking_server.api.described import Description, completed
from checking_server.api.docs_page import STYLE_HASH, DocsPage
from checking_server.api.guards import LOOPBACK_NAMES, Guard, Pace, admitted, author_of, both, named
from checking_server.api.listing import paging
from checking_server.api.middleware import RequestTrace
from checking_server.api.once import Once
from checking_server.api.problems import problem_response
from checking_server.api.rate import Buckets
from checking_server.api.streams import Streams
from checking_server.engine import Engine
from checking_server.flow.replay import Replay
from checking_server.installed import Installed
from checking_server.kept import Kept
from checking_server.settings import ApiSettings

__all__ = ["BASE_PATH", "DOCS", "SCHEMA_PATH", "Parts", "create_app", "openapi_spec"]

BASE_PATH = "/api/v1"
SCHEMA_PATH = "/schema"
DOCS = "/docs"
"""Below the schema: the same as a page."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": f"default-src 'none'; style-src {STYLE_HASH}; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer: what is told here is nobody's to keep, to frame or to run."""
_HSTS = {"Strict-Transport-Security": "max-age=31536000"}
_GUESSES = 20
"""Requests a minute that an address may make without a key that is known."""
_BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a request body: room for a list of messages, each of which has a limit of its own."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the API rests on. Routes ask for a part by its name.

    Attributes:
        engine: rows, and what takes in messages; its store is open.
        checkup: what the health routes ask.
        keyring: who may do what; ``None`` asks nobody, which is for loopback alone.
        streams: where changes go, for whoever ends them at the stop.
        installed: plugins and backends.
        replay: sends dead letters again; without it they stay.
        kept: counts that are dear.
    """

    engine: Engine
    checkup: Checkup
    keyring: Keyring | None
    streams: Streams = field(default_factory=Streams)
    installed: Installed = field(default_factory=lambda: Installed(PluginHost((), {}), {}))
    replay: Replay | None = None
    kept: Kept = field(default_factory=Kept)


def create_app(
    parts: Parts, settings: ApiSettings, *, names: Collection[str] = LOOPBACK_NAMES, body_limit: int = _BODY_LIMIT
) -> Litestar:
    """The API.

    Args:
        parts: what it rests on.
        settings: how often, how slowly and from which pages it may be asked.
        names: host names that requests may call this server by while nobody is asked.
        body_limit: bytes that a request body may have; beyond, 413.
    """
    store, streams, keyring = parts.engine.store, parts.streams, parts.keyring
    pace = _pace(settings.requests_per_minute)
    once = Once(store)
    guard = admitted(keyring, pace) if keyring else both(named(names, settings.origins), admitted(None, pace))
    app = Litestar(
        [_version_1(_things(parts), [guard])],
        before_request=once.claim,
        middleware=[once],
        exception_handlers={Exception: problem_response},
        openapi_config=_openapi(),
        request_max_body_size=body_limit,
        compression_config=CompressionConfig("gzip", minimum_size=1_000, gzip_compress_level=3, exclude=[events.PATH]),
        cors_config=_cors(settings.origins),
        lifespan=[lambda _: store.followed(streams.tell, on_gap=streams.gap)],
        on_shutdown=[parts.kept.close, *([keyring.close] if keyring else [])],
        logging_config=None,  # its default would reconfigure the process's logging
    )
    headers = {**_HEADERS, **(_HSTS if settings.hsts else {})}
    app.asgi_handler = RequestTrace(
        app.asgi_handler, headers=headers, body_seconds=settings.body_seconds, metrics=parts.engine.metrics
    )
    return app


def _pace(per_minute: float) -> Pace:
    guesses = _GUESSES if per_minute else 0
    return Pace(Buckets(per_minute, burst=math.ceil(per_minute / 6)), Buckets(guesses, burst=guesses))


def _cors(origins: Sequence[str]) -> CORSConfig | None:
    """No page of another origin may ask, unless it is named; cookies play no part."""
    if not origins:
        return None
    asked = ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-API-Key", "X-Request-ID"]
    told = ["Idempotent-Replayed", "Retry-After", "X-Process-Time-Ms", "X-Request-ID"]
    return CORSConfig(allow_origins=list(origins), allow_headers=asked, expose_headers=told)


def openapi_spec() -> dict[str, Any]:
    """The description of the API, as ``/schema`` tells it, without one that runs."""
    nothing = dict.fromkeys(["store", *(part.name for part in fields(Parts))])
    app = Litestar([_version_1(nothing, [])], openapi_config=_openapi(), logging_config=None)
    return completed(app.openapi_schema.to_schema(), app)


def _things(parts: Parts) -> dict[str, object]:
    return {"store": parts.engine.store, **{part.name: getattr(parts, part.name) for part in fields(parts)}}


def _version_1(given: Mapping[str, object], guards: Sequence[Guard]) -> Router:
    groups = (
        *(health, operations, executions, checks, results, ingest),
        *(statistics, dead_letters, plugins, access, events, metrics),
    )
    asked: Mapping[str, Callable[..., object]] = {"author": author_of, "paging": paging}
    return Router(
        BASE_PATH,
        route_handlers=[group.router for group in groups],
        dependencies={
            **{name: _given(thing) for name, thing in given.items()},
            **{name: Provide(find, sync_to_thread=False) for name, find in asked.items()},
        },
        guards=guards,
    )


def _given(thing: object) -> Provide:
    return Provide(lambda: thing, sync_to_thread=False)


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Checking",
        version=version("checking-server"),
        description="Detection validation: what the red team did, and what the defenders' products saw of it.",
        components=Components(
            security_schemes={
                "key": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
                "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            }
        ),
        security=[{"key": []}, {"token": []}],
        render_plugins=[Description(path=["/", "/openapi.json"]), DocsPage(path=DOCS)],
        use_handler_docstrings=True,
        operation_id_creator=lambda handler, _method, _path: handler.handler_name,
        openapi_router=Router(
            SCHEMA_PATH, route_handlers=[], before_request=_refuse_unknown_page, include_in_schema=False
        ),
    )


async def _refuse_unknown_page(request: Request[Any, Any, Any]) -> None:
    """The framework answers a wrong path below the schema with a page of its own; the error map shall."""
    if request.path_params:
        raise NotFoundException
