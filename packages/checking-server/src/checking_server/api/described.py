"""What the framework cannot tell of the API by itself: what shapes mean, what a body must not have, and examples."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import ModuleType
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin

from checking_server.api import access, dead_letters, ingest, plugins, problems, schemas, statistics, wanted
from checking_server.api.examples import EXAMPLES
from checking_server.api.once import HEADER, LONGEST, is_kept

__all__ = ["Description", "completed", "kinds"]

_MODULES: tuple[ModuleType, ...] = (schemas, wanted, access, dead_letters, ingest, plugins, problems, statistics)
_AGAIN = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A text of your own for this one request: sent again under it, it is carried out once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
}
_OF_AGAIN = {
    HTTPStatus.CONFLICT: "The same request is under way",
    HTTPStatus.UNPROCESSABLE_ENTITY: f"The {HEADER} stands for another request",
}


class Description(JsonRenderPlugin):
    """Serves the description."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """See ``OpenAPIRenderPlugin``."""
        return super().render(request, completed(openapi_schema, request.app))


def completed(description: dict[str, Any], app: Litestar) -> dict[str, Any]:
    """The same description with what is missing; one that has it stays as it is."""
    known = kinds()
    for name, schema in description["components"]["schemas"].items():
        if (kind := known.get(name)) is not None:
            schema["description"] = inspect.getdoc(kind)
            if kind.__struct_config__.forbid_unknown_fields:
                schema["additionalProperties"] = False
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
    repeatable = {handler.handler_name for handler in _posts(app) if is_kept(handler)}
    for methods in description["paths"].values():
        if (route := methods.get("post", {})).get("operationId") in repeatable:
            _tell_of_again(route)
    return description


def _tell_of_again(route: dict[str, Any]) -> None:
    if _AGAIN not in route.setdefault("parameters", []):
        route["parameters"].append(_AGAIN)
    answers = route["responses"]
    for status, words in _OF_AGAIN.items():
        answers.setdefault(str(int(status)), {**answers["400"], "description": words})


def kinds() -> Mapping[str, type[msgspec.Struct]]:
    """Every shape by its name."""
    found = ((name, kind) for module in _MODULES for name, kind in vars(module).items())
    return {name: kind for name, kind in found if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}


def _posts(app: Litestar) -> Iterator[HTTPRouteHandler]:
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if "POST" in getattr(handler, "http_methods", ()):
                yield handler
