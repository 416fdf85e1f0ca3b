"""Plugins: what is installed, what a check may ask of it, and whether a backend can be reached."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from checking_core.contracts import AccessRole, Ask
from checking_core.errors import ConfigurationError, ConflictError, NotFoundError
from checking_core.plugin.loader import BrokenPluginError, foreign
from checking_core.worker.self_check import health_of
from checking_server.api.guards import needs
from checking_server.api.problems import problems
from checking_server.api.schemas import PluginHealth
from checking_server.installed import Installed

__all__ = ["router"]


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A configured product instance, and what can be asked of it."""

    name: str
    plugin: str
    detection_type: str
    answers: list[Ask]


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is installed, the broken plugins with the reason, and the backends."""

    plugins: list[PluginHealth]
    backends: list[Backend]


class SelfCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend said of itself; ``ok`` is ``null`` where its plugin has no self-check."""

    backend: str
    ok: bool | None
    detail: str


@get("/", responses=problems())
async def list_plugins(installed: NamedDependency[Installed]) -> Plugins:
    """The installed plugins and the backends that they serve. None of them is asked."""
    detectors = installed.host.detectors
    backends = [
        Backend(
            name=name,
            plugin=one.plugin,
            detection_type=one.detection_type,
            answers=[ask for ask in Ask if one.plugin in detectors and ask in detectors[one.plugin].answers],
        )
        for name, one in installed.backends.items()
    ]
    plugins = [msgspec.convert(plugin, PluginHealth, from_attributes=True) for plugin in installed.host.plugins]
    return Plugins(plugins=plugins, backends=backends)


@get("/{name:str}/schema", responses=problems(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT))
async def get_plugin_schema(installed: NamedDependency[Installed], name: FromPath[str]) -> dict[str, Any]:
    """What a check may say in its `detection_config` to this platform or backend, as JSON Schema."""
    backend = installed.backends.get(name)
    detector = installed.host.detectors.get(backend.plugin if backend else name)
    if detector is None:
        raise NotFoundError("there is no platform and no backend of this name")
    try:
        schema: dict[str, Any] = foreign("has a Config without a schema", detector.Config.model_json_schema)
    except BrokenPluginError as error:
        raise ConflictError(f"the plugin {detector.platform} {error}") from error
    return schema


@post(
    "/{name:str}/self-check",
    opt=needs(AccessRole.OPERATOR),
    status_code=HTTPStatus.OK,
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def check_plugin(installed: NamedDependency[Installed], name: FromPath[str]) -> SelfCheck:
    """Ask a backend whether it can be reached with its settings, for 15 seconds at most. Changes nothing there."""
    backend = installed.backends.get(name)
    if backend is None:
        raise NotFoundError("there is no backend of this name")
    try:
        detector = installed.host.create(name, backend)
    except ConfigurationError as error:
        return SelfCheck(backend=name, ok=False, detail=str(error))
    async with installed.places:
        health = await asyncio.to_thread(partial(health_of, detector))
    return SelfCheck(backend=name, ok=health.ok, detail=health.detail)


router = Router("/plugins", route_handlers=[list_plugins, get_plugin_schema, check_plugin], tags=["plugins"])
