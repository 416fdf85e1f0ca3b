"""The application: routes, one error map, and what every request gets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from litestar import Litestar, Request, Router
from litestar.di import Provide
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
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
    operations,
    plugins,
    results,
)
from checking_server.api.checkup import Checkup
from checking_server.api.guards import LOOPBACK_NAMES, Guard, admitted, author_of, named
from checking_server.api.listing import paging
from checking_server.api.middleware import RequestTrace
from checking_server.api.problems import problem_response
from checking_server.api.streams import Streams
from checking_server.engine import Engine
from checking_server.flow.replay import Replay
from checking_server.installed import Installed

__all__ = ["BASE_PATH", "SCHEMA_PATH", "create_app"]

BASE_PATH = "/api/v1"
SCHEMA_PATH = "/schema"

_BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of a request body: room for a list of messages, each of which has a limit of its own."""


def create_app(
    engine: Engine,
    checkup: Checkup,
    *,
    keyring: Keyring | None,
    names: Collection[str] = LOOPBACK_NAMES,
    body_limit: int = _BODY_LIMIT,
    streams: Streams | None = None,
    installed: Installed | None = None,
    replay: Replay | None = None,
) -> Litestar:
    """The API on an engine whose store is open.

    Args:
        engine: rows, and what takes in messages.
        checkup: what the health routes ask.
        keyring: who may do what; ``None`` asks nobody, which is for loopback alone.
        names: host names that requests may call this server by while nobody is asked.
        body_limit: bytes that a request body may have; beyond, 413.
        streams: where changes go, for whoever ends them at the stop.
        installed: plugins and backends; none without.
        replay: sends dead letters again; without it they stay.
    """
    streams = Streams() if streams is None else streams
    given = {
        "engine": engine,
        "store": engine.store,
        "checkup": checkup,
        "keyring": keyring,
        "streams": streams,
        "installed": installed or Installed(PluginHost((), {}), {}),
        "replay": replay,
    }
    guards = [admitted(keyring)] if keyring else [named(names), admitted(None)]
    app = Litestar(
        [_version_1(given, guards)],
        exception_handlers={Exception: problem_response},
        openapi_config=_openapi(),
        request_max_body_size=body_limit,
        lifespan=[lambda _: engine.store.followed(streams.tell, on_gap=streams.gap)],
        logging_config=None,  # its default would reconfigure the process's logging
    )
    app.asgi_handler = RequestTrace(app.asgi_handler)
    return app


def _version_1(given: Mapping[str, object], guards: Sequence[Guard]) -> Router:
    groups = (health, operations, executions, checks, results, ingest, dead_letters, plugins, access, events)
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
        render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"])],
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
