"""A question as the request that Elasticsearch gets. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from checking_core import Ask, QueryInvalidError, SearchRequest
from checking_core.matching.record import UNTOLD
from checking_core.matching.window import Window
from checking_plugin_elastic.client import Call, path_of
from checking_plugin_elastic.language import Language, language_of, read_dsl, refuse_unsafe, without_strings
from checking_plugin_elastic.records import HOSTS, RULES, SUPPRESSION

__all__ = ["Asked", "asked", "host_like", "is_converted", "newest"]

_MOST_HITS = 10_000
_STRICT = ("allow_partial_search_results",)
_WHOLE = {"allow_no_indices": "false", "ignore_unavailable": "false"}
_INDEX = re.compile(r"[^\s/\\?\"<>|#%&=]+")
_ALL = frozenset({"*", "_all", "*:*", "**"})
_SOURCE = re.compile(r"\s*(?:from|ts|metrics)\s+(.*)", re.IGNORECASE | re.DOTALL)
_OWN_LIMIT = re.compile(r"\|\s*limit\s+(\d+)", re.IGNORECASE)
_PIPE = re.compile(r"\|\s*(?:(?:head|tail)\s+(\d+))?", re.IGNORECASE)
_ADDRESS = r"\[?[0-9a-f:]*[.:][0-9a-f:.]*(%.*)?\]?"
_HEAVY = ["kibana.alert.rule.parameters", "kibana.alert.rule.exceptions_list", "signal.rule.exceptions_list"]
"""Copies of the rule, in each alert."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and how it is told to people. More rows than ``most`` are more than were asked for."""

    call: Call
    language: Language
    words: str
    most: int


def asked(request: SearchRequest, *, alerts_index: str, index: str | None) -> Asked:
    """The request for a question.

    Args:
        request: of core.
        alerts_index: where the alerts are.
        index: of a query that names none.

    Raises:
        QueryInvalidError: says what to change.
    """
    query = request.query
    if request.ask is Ask.ALERT:
        language = language_of(request.language, query) if query else Language.DSL
        if language in (Language.EQL, Language.ESQL):
            raise QueryInvalidError("a query for alerts is written in lucene or dsl")
        return _search(request, language, alerts_index, [_alerts_in(request.window), *_narrowing(request)])
    if query is None:
        raise QueryInvalidError("there is no query")
    language = Language.EQL if is_converted(request) else language_of(request.language, query)
    if language is Language.ESQL:
        return _esql(request, query, request.index or index)
    named = _named(request.index or index)
    if language is Language.EQL:
        return _eql(request, query, named)
    return _search(request, language, named, [_within("@timestamp", request.window)])


def newest(index: str, *conditions: dict[str, Any]) -> Call:
    """A request for the newest document of an index that meets the conditions."""
    body = {
        "size": 1,
        "track_total_hits": 1,
        "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}],
        "_source": ["@timestamp"],
        "query": {"bool": {"filter": list(conditions)}},
    }
    return Call(path_of(_named(index), "_search"), body, _STRICT, _WHOLE)


def host_like(*patterns: str) -> dict[str, Any]:
    """A condition for documents of a host whose name is one of these, whatever its case; ``*`` stands for any text."""
    names = [_text(field, pattern) for pattern in patterns for field in HOSTS]
    return {"bool": {"should": names, "minimum_should_match": 1}}


def _search(request: SearchRequest, language: Language, index: str, filters: list[dict[str, Any]]) -> Asked:
    if request.query:
        filters = [*filters, _condition(request.query, language, _template(request))]
    most = min(request.limit, _MOST_HITS)
    body = {
        "size": most,
        "track_total_hits": most + 1,
        "sort": [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}],
        "_source": {"excludes": _HEAVY},
        "query": {"bool": {"filter": filters}},
    }
    return _asked(Call(path_of(_named(index), "_search"), body, _STRICT, _WHOLE), language, body["query"], most)


def _condition(query: str, language: Language, template: str | None) -> dict[str, Any]:
    if language is Language.DSL:
        return read_dsl(query)
    refuse_unsafe(query, language, template)
    return {"query_string": {"query": query, "analyze_wildcard": True}}


def _eql(request: SearchRequest, query: str, index: str) -> Asked:
    refuse_unsafe(query, Language.EQL, _template(request))
    own = _PIPE.findall(without_strings(query))
    if "" in own:
        raise QueryInvalidError("a pipe of EQL is head or tail and a number; what others leave out is not known")
    most = _most(request, own)
    body = {"query": query, "filter": _within("@timestamp", request.window), "size": most + 1, "fetch_size": 1000}
    return _asked(Call(path_of(index, "_eql/search"), body, _STRICT, _WHOLE), Language.EQL, body, most)


def _esql(request: SearchRequest, query: str, index: str | None) -> Asked:
    refuse_unsafe(query, Language.ESQL, _template(request))
    source = _SOURCE.match(query)
    if source is None:
        query = f"FROM {_named(index)} METADATA _id, _index | {query.strip().removeprefix('|')}"
    elif re.split(r"[\s|]", source[1], maxsplit=1)[0] in _ALL:
        raise QueryInvalidError("the query searches every index; name those of the data in FROM")
    most = _most(request, _OWN_LIMIT.findall(query))
    body = {"query": f"{query}\n| LIMIT {most + 1}", "filter": _within("@timestamp", request.window)}
    return _asked(Call("/_query", body, ("allow_partial_results",)), Language.ESQL, body, most)


def _most(request: SearchRequest, own: list[str]) -> int:
    """How many rows are all that there are: as many as the query's own limits let through may be some of more."""
    return min([request.limit, _MOST_HITS - 1, *(int(limit) - 1 for limit in own)])


def _asked(call: Call, language: Language, shown: Any, most: int) -> Asked:
    words = f"POST {call.path} {msgspec.json.encode(shown).decode()}"
    return Asked(call=call, language=language, words=words, most=most)


def is_converted(request: SearchRequest) -> bool:
    """Whether the query was a Sigma rule: ``convert`` writes EQL."""
    return request.ask is Ask.RULE and request.config.rule is None


def _template(request: SearchRequest) -> str | None:
    return getattr(getattr(request.config, request.ask), "query", None)


def _named(index: str | None) -> str:
    """An index that is one.

    Raises:
        QueryInvalidError: none, every one, or something else.
    """
    if not index:
        raise QueryInvalidError("the query names no index; add index, such as logs-endpoint.events.*, to its section")
    if index in _ALL or not _INDEX.fullmatch(index) or index.startswith("-"):
        raise QueryInvalidError(f"the index {index[:50]!r} is none that can be searched; name those of the data")
    return index


def _within(field: str, window: Window) -> dict[str, Any]:
    return _range(field, gte=window.start.isoformat(), lte=window.end.isoformat())


def _range(field: str, **bounds: str | int) -> dict[str, Any]:
    return {"range": {field: bounds}}


def _alerts_in(window: Window) -> dict[str, Any]:
    """An alert of the window was raised in it, or is about something in it, or suppressed another of that time."""
    began = _range(f"{SUPPRESSION}.start", lte=window.end.isoformat())
    ended = _range(f"{SUPPRESSION}.end", gte=window.start.isoformat())
    raised = [_within(field, window) for field in ("@timestamp", "kibana.alert.original_time")]
    return {"bool": {"should": [*raised, {"bool": {"filter": [began, ended]}}], "minimum_should_match": 1}}


def _narrowing(request: SearchRequest) -> list[dict[str, Any]]:
    """Conditions for the host and the rule, where everything is too much. Names are compared without their case."""
    found: list[dict[str, Any]] = []
    if request.hosts:
        found.append(_perhaps_of(request.hosts))
    alert = request.alert
    if alert and (alert.rule or alert.rule_id):
        wanted = [
            _text(f"{rule}.{field}", text)
            for text, fields in ((alert.rule, ("name",)), (alert.rule_id, ("rule_id", "uuid", "id")))
            if text
            for field in fields
            for rule in RULES
        ]
        found.append({"bool": {"should": wanted, "minimum_should_match": 1}})
    return found


def _perhaps_of(hosts: tuple[str, ...]) -> dict[str, Any]:
    r"""What core may find to be of one of these hosts: it is named (``CORP\WS01$``), or nobody is, or by an address.

    An alert that suppressed others names the host of its first event only.
    """
    ours = sorted({f"*{host.partition('.')[0]}*" for host in hosts})
    named = host_like(*ours, *sorted(UNTOLD), "localhost*")
    nobody = {"bool": {"must_not": [{"exists": {"field": field}} for field in HOSTS]}}
    addresses = [{"regexp": {field: {"value": _ADDRESS, "case_insensitive": True}}} for field in HOSTS]
    several = _range(f"{SUPPRESSION}.docs_count", gt=0)
    return {"bool": {"should": [named, nobody, *addresses, several], "minimum_should_match": 1}}


def _text(field: str, text: str) -> dict[str, Any]:
    r"""A field that is this text, in which ``*`` stands for any; every other sign of a pattern is itself.

    Elasticsearch knows the case of ASCII alone; other letters stand for any text, for core to tell apart.
    """
    escaped = text.replace("\\", "\\\\").replace("?", "\\?")
    value = re.sub(r"[^\x00-\x7f]+", "*", escaped)
    return {"wildcard": {field: {"value": value, "case_insensitive": True}}}
