"""The API's description as a page for eyes: plain HTML, without a script and without another host."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

from checking_server.api.described import completed

__all__ = ["STYLE_HASH", "DocsPage", "page_of"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "summary{cursor:pointer;font-family:ui-monospace,monospace;padding:.2rem 0}"
    "summary b{display:inline-block;width:5rem}"
    "summary span{font-family:system-ui,sans-serif;color:#555;margin-left:1rem}h2{border-bottom:1px solid #ccc}"
    "table{border-collapse:collapse}td,th{border:1px solid #ddd;padding:.2rem .6rem;text-align:left;vertical-align:top}"
    "details{margin-left:1rem}p{margin:.4rem 0}"
)
STYLE_HASH = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
"""Lets a page's security policy allow this one style."""

_METHODS = ("get", "post", "put", "patch", "delete")


class DocsPage(OpenAPIRenderPlugin):
    """Serves the page."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """See ``OpenAPIRenderPlugin``."""
        return page_of(completed(openapi_schema, request.app)).encode()


class _Route(NamedTuple):
    tag: str
    path: str
    method: str
    about: Mapping[str, Any]


def page_of(spec: Mapping[str, Any]) -> str:
    """The whole page of an OpenAPI description."""
    info, shapes = spec["info"], spec.get("components", {}).get("schemas", {})
    groups = groupby(sorted(_routes(spec), key=lambda route: route.tag), key=lambda route: route.tag)
    body = "".join(
        f"<h2>{escape(tag)}</h2>{''.join(_route(route, shapes) for route in routes)}" for tag, routes in groups
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style>"
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>"
        "<p>The same for programs: <a href=openapi.json>openapi.json</a>, OpenAPI 3.1.</p>"
        f"{body}</html>"
    )


def _routes(spec: Mapping[str, Any]) -> Iterator[_Route]:
    for path, methods in spec["paths"].items():
        for method in _METHODS:
            if method in methods:
                about = methods[method]
                yield _Route(next(iter(about.get("tags", ())), "other"), path, method, about)


def _route(route: _Route, shapes: Mapping[str, Any]) -> str:
    words = route.about.get("description") or route.about.get("summary", "")
    first, _, rest = words.partition("\n")
    return (
        f"<details><summary><b>{route.method.upper()}</b>{escape(route.path)}<span>{escape(first)}</span></summary>"
        f"{f'<p>{escape(rest)}</p>' if rest.strip() else ''}{_parameters(route.about)}{_body(route.about, shapes)}"
        f"{_answers(route.about)}</details>"
    )


def _parameters(about: Mapping[str, Any]) -> str:
    return _table(
        ("parameter", "in", "type", ""),
        [
            (one["name"], one["in"], _type(one.get("schema", {})), one.get("description", ""))
            for one in about.get("parameters", ())
        ],
    )


def _body(about: Mapping[str, Any], shapes: Mapping[str, Any]) -> str:
    content = about.get("requestBody", {}).get("content", {})
    kinds = ", ".join(f"{kind}: {_type(one.get('schema', {}))}" for kind, one in content.items())
    examples = "".join(f"<pre>{escape(json.dumps(one, indent=2))}</pre>" for one in _examples(content, shapes))
    return f"<p>Body: {escape(kinds)}</p>{examples}" if kinds else ""


def _examples(content: Mapping[str, Any], shapes: Mapping[str, Any]) -> Iterator[object]:
    for one in content.values():
        yield from (example["value"] for example in one.get("examples", {}).values())
        yield from shapes.get(_type(one.get("schema", {})), {}).get("examples", ())


def _answers(about: Mapping[str, Any]) -> str:
    rows = [
        (status, ", ".join(_type(one.get("schema", {})) for one in answer.get("content", {}).values()), words)
        for status, answer in sorted(about.get("responses", {}).items())
        for words in [answer.get("description", "")]
    ]
    return _table(("answer", "shape", ""), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if several := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(dict.fromkeys(map(_type, several)))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    return f"list of {_type(schema.get('items', {}))}" if words == "array" else words


def _table(names: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
