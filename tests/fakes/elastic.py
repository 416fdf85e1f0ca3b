"""A cluster of Elasticsearch with Elastic Security, and its Kibana.

What it is told: ``{"api_key": ..., "indices": {name: [document, ...]}, "failed_shards": 0, "rules": [...],
"privileges": [...]}``. A document is a ``_source`` with dots in its names; ``_id`` in it becomes the hit's.

It reads as much of the languages as checks of tests are written in; what it cannot read is a parsing_exception, so that
no test passes for a query that was not understood.

Sources, in elastic/elasticsearch-specification below ``specification``: ``_global/search/SearchRequest.ts`` and
``SearchResponse.ts``, ``_types/query_dsl``, ``eql/search``, ``esql/query``, ``security/has_privileges``; in
elastic/kibana: ``rule_management/find_rules/find_rules_route.schema.yaml``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .eql import UnreadableError, query_of, texts_in
from .serving import Told

__all__ = ["create_app"]

Document = dict[str, Any]
Test = Callable[[Document], bool]
Handler = Callable[[Request], Awaitable[Response]]

_ALIASES = {".alerts-security.alerts-default": ".internal.alerts-security.alerts-default-000001"}
_SHARDS = 4
_CONDITION = re.compile(
    r"""\s*(?P<field>[\w@.]+)\s*(?P<how>==|:|like)\s*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>(?:\\.|[^\s"\\()])+))\s*""",
    re.DOTALL,
)


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.kind = status, kind


def create_app(told: Told) -> Starlette:
    """The application; ``told`` gives what the cluster holds."""
    cluster = Cluster(told)
    routes = {
        "/{index}/_search": cluster.search,
        "/{index}/_eql/search": cluster.eql,
        "/_query": cluster.esql,
        "/_security/user/_has_privileges": cluster.privileges,
        "/api/detection_engine/rules/_find": cluster.rules,
    }
    methods = {cluster.rules: ["GET"]}
    return Starlette(
        routes=[
            Route(path, cluster.guarded(handler), methods=methods.get(handler, ["POST"]))
            for path, handler in routes.items()
        ]
    )


class Cluster:
    """What answers each route."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def guarded(self, handler: Handler) -> Handler:
        """Only whoever has the key is answered, and a refusal is one of the product."""

        async def answer(request: Request) -> Response:
            try:
                self._admit(request)
                response = await handler(request)
            except RefusedError as error:
                cause = {"type": error.kind, "reason": str(error)}
                return JSONResponse({"error": {"root_cause": [cause], **cause}, "status": error.status}, error.status)
            response.headers["X-Elastic-Product"] = "Elasticsearch"
            return response

        return answer

    async def search(self, request: Request) -> Response:
        """``POST /{index}/_search``: SearchRequest.ts."""
        body = await request.json()
        found = [one for one in self._documents(request.path_params["index"]) if _matcher(body["query"])(one)]
        descending = body["sort"][0]["@timestamp"].get("order") == "desc"
        found.sort(key=lambda one: _moment(one["@timestamp"]), reverse=descending)
        most = body["track_total_hits"]
        total = {"value": min(len(found), most), "relation": "gte" if len(found) > most else "eq"}
        hits = {"total": total, "max_score": None, "hits": [_hit(one) for one in found[: body["size"]]]}
        return JSONResponse({"took": 2, "timed_out": False, "_shards": self._shards(request), "hits": hits})

    async def eql(self, request: Request) -> Response:
        """``POST /{index}/_eql/search``: EqlSearchRequest.ts, EqlSearchResponseBase.ts."""
        body = await request.json()
        try:
            condition = query_of(body["query"])
        except UnreadableError as error:
            raise RefusedError(400, "parsing_exception", str(error)) from error
        test = _all([_matcher(body["filter"]), condition])
        found = [_hit(one) for one in self._documents(request.path_params["index"]) if test(one)]
        self._shards(request)
        hits = {"total": {"value": len(found), "relation": "eq"}, "events": found[: body["size"]]}
        return JSONResponse({"is_partial": False, "is_running": False, "timed_out": False, "took": 2, "hits": hits})

    async def esql(self, request: Request) -> Response:
        """``POST /_query``: QueryRequest.ts; columns, also of no rows, and values as in its example."""
        body = await request.json()
        source, *steps = [step.strip() for step in body["query"].split("|")]
        documents = self._documents(source.split()[1])
        rows = list(filter(_matcher(body["filter"]), documents))
        for step in steps:
            rows = _piped(rows, step)
        names = sorted({name for document in documents for name in document}) or ["<no-fields>"]
        columns = [{"name": name, "type": "keyword"} for name in names]
        values = [[row.get(name) for name in names] for row in rows]
        return JSONResponse({"took": 2, "is_partial": False, "columns": columns, "values": values})

    async def privileges(self, request: Request) -> Response:
        """``POST /_security/user/_has_privileges``: SecurityHasPrivilegesRequest.ts and its response."""
        body, mine = await request.json(), self._told().get("privileges", ["read"])
        cluster = dict.fromkeys(body["cluster"], False)
        index = {
            name: {one: one in mine for one in asked["privileges"]}
            for asked in body["index"]
            for name in asked["names"]
        }
        return JSONResponse({"username": "checking", "has_all_requested": False, "cluster": cluster, "index": index})

    async def rules(self, request: Request) -> Response:
        """``GET /api/detection_engine/rules/_find`` of Kibana: find_rules_route.schema.yaml."""
        page, size = (int(request.query_params[name]) for name in ("page", "per_page"))
        known = self._told().get("rules")
        if known is None:
            raise RefusedError(403, "Forbidden", "API [GET /api/detection_engine/rules/_find] is unauthorized")
        part = known[(page - 1) * size : page * size]
        return JSONResponse({"page": page, "perPage": size, "total": len(known), "data": part})

    def _admit(self, request: Request) -> None:
        """``Authorization: ApiKey``, or security_exception: SecurityAuthenticate in security/authenticate."""
        if request.headers.get("Authorization") != f"ApiKey {self._told()['api_key']}":
            raise RefusedError(401, "security_exception", "unable to authenticate with provided credentials")

    def _documents(self, pattern: str) -> list[Document]:
        """Documents of the indices of a pattern; none is 404 with ``allow_no_indices=false``: SearchRequest.ts."""
        indices = self._told()["indices"]
        wanted = [_ALIASES.get(one, one) for one in pattern.split(",")]
        names = [name for name in indices if any(fnmatchcase(name, one) for one in wanted)]
        if not names:
            raise RefusedError(404, "index_not_found_exception", f"no such index [{pattern}]")
        return [{"_index": name, **document} for name in names for document in indices[name]]

    def _shards(self, request: Request) -> dict[str, int]:
        """What answered; an answer in part is 503 where it is not allowed: SearchRequest.ts."""
        failed = self._told().get("failed_shards", 0)
        if failed and request.query_params.get("allow_partial_search_results") == "false":
            raise RefusedError(503, "search_phase_execution_exception", "Search rejected due to missing shards")
        return {"total": _SHARDS, "successful": _SHARDS - failed, "skipped": 0, "failed": failed}


def _piped(rows: list[Document], step: str) -> list[Document]:
    verb, _, rest = step.partition(" ")
    if verb.lower() == "where":
        return list(filter(_conjunction(rest), rows))
    if verb.lower() == "limit":
        return rows[: int(rest)]
    raise RefusedError(400, "parsing_exception", f"line 1:1: mismatched input '{verb}'")


def _hit(document: Document) -> dict[str, Any]:
    source = {name: value for name, value in document.items() if not name.startswith("_")}
    return {"_index": document["_index"], "_id": document["_id"], "_source": source}


def _matcher(query: Mapping[str, Any]) -> Test:
    """A query of the DSL: the files below _types/query_dsl."""
    ((kind, body),) = query.items()
    match kind:
        case "bool":
            parts = [
                _all(map(_matcher, _listed(body.get("filter")))),
                _none(map(_matcher, _listed(body.get("must_not")))),
            ]
            if should := [_matcher(one) for one in body.get("should", [])]:
                parts.append(lambda document: any(test(document) for test in should))
            return _all(parts)
        case "range":
            ((field, bounds),) = body.items()
            return lambda document: field in document and _within(document[field], bounds)
        case "exists":
            return lambda document: body["field"] in document
        case "regexp":
            ((field, how),) = body.items()
            shape = re.compile(how["value"], re.IGNORECASE if how.get("case_insensitive") else 0)
            return lambda document: any(shape.fullmatch(text) for text in texts_in(document, field))
        case "term":
            ((field, value),) = body.items()
            return _equals(field, value)
        case "wildcard":
            ((field, how),) = body.items()
            return _like(field, how["value"], loose=bool(how.get("case_insensitive")))
        case "query_string":
            return _conjunction(body["query"])
    raise RefusedError(400, "parsing_exception", f"unknown query [{kind}]")


def _conjunction(text: str) -> Test:
    """Conditions of Lucene or ES|QL that are joined by ``and``, each of a field and a text."""
    tests, at = [], 0
    while found := _CONDITION.match(text, at):
        tests.append(_compared(found["field"], found["how"], found["quoted"], found["bare"]))
        at = found.end()
        if at == len(text):
            return _all(tests)
        if text[at : at + 4].lower() != "and ":
            break
        at += 4
    raise RefusedError(400, "parsing_exception", f"line 1:{at}: mismatched input '{text[at:][:20]}'")


def _compared(field: str, how: str, quoted: str | None, bare: str | None) -> Test:
    """Within quotes a text is itself, without them or behind ``like`` a pattern: query-string-syntax, esql/like."""
    if quoted is None:
        return _like(field, bare or "", loose=False)
    text = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
    return _like(field, text, loose=False) if how == "like" else _equals(field, text)


def _equals(field: str, value: str) -> Test:
    return lambda document: value in texts_in(document, field)


def _like(field: str, pattern: str, *, loose: bool) -> Test:
    """``*`` stands for any text, a sign behind ``\\`` for itself; only ASCII has no case: WildcardQuery, term.ts."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    regex = "".join(".*" if part == "*" else re.escape(part[-1]) for part in parts)
    shape = re.compile(regex, re.DOTALL | (re.IGNORECASE | re.ASCII if loose else 0))
    return lambda document: any(shape.fullmatch(text) for text in texts_in(document, field))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _all(tests: Iterable[Test]) -> Test:
    every = list(tests)
    return lambda document: all(test(document) for test in every)


def _none(tests: Iterable[Test]) -> Test:
    every = list(tests)
    return lambda document: not any(test(document) for test in every)


_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {"gt": operator.gt, "gte": operator.ge, "lte": operator.le}


def _within(value: str | int, bounds: Mapping[str, Any]) -> bool:
    """Times or numbers: RangeQueryBase in term.ts."""
    read = (lambda one: one) if isinstance(value, int) else _moment
    return all(_BOUNDS[name](read(value), read(bound)) for name, bound in bounds.items())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
