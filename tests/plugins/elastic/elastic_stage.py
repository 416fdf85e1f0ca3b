"""Elasticsearch, played: the routes that the detector asks, each as its specification or a recorded answer has it.

``_search``, ``_eql/search`` and ``_query``: elasticsearch-specification ``specification/{_global/search,eql,esql}``.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import respx
from pydantic import SecretStr
from tests.plugins.http_stage import PLAIN_WAIT, HttpStage

from checking_core import Ask, Prevention
from checking_core.matching.record import Alert, AnyRecord
from checking_core.testing import Trouble
from checking_plugin_elastic.detector import ElasticDetector
from checking_plugin_elastic.settings import ElasticSettings

URL = "https://elastic.example:9200"
DEFEND = {
    Prevention.BLOCKED: {"kind": "alert", "type": ["info", "denied"], "outcome": "success"},
    Prevention.NOT_BLOCKED: {"kind": "alert", "type": ["info", "allowed"], "outcome": "success"},
}


class ElasticStage(HttpStage):
    """One cluster. ``asked`` are the requests."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__()
        self.hits: dict[str, list[dict[str, Any]]] = {}
        router.route(host="elastic.example").mock(side_effect=self.answer)

    def detector(self, **options: Any) -> ElasticDetector:
        settings = ElasticSettings(url=URL, api_key=SecretStr(self.secret), index="logs-*")
        return ElasticDetector("elastic", settings, **options)

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        self.hits["alerts" if ask is Ask.ALERT else "logs"] = [hit_of(record) for record in records]

    def refusal(self) -> httpx.Response:
        return failure(401, "security_exception", "unable to authenticate")

    def limit(self) -> httpx.Response:
        return failure(429, "es_rejected_execution_exception", "queue is full", PLAIN_WAIT)

    def found(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if request.url.path.endswith("_has_privileges"):
            return httpx.Response(200, json={"cluster": {"manage": False}, "index": {"x": {"write": False}}})
        hits = self.hits.get("alerts" if ".alerts" in request.url.path else "logs", [])
        partial = self.trouble is Trouble.PARTIAL
        return httpx.Response(200, json=search_answer(hits, size=body["size"], failed=3 if partial else 0))


def search_answer(hits: list[dict[str, Any]], *, size: int = 1000, failed: int = 0) -> dict[str, Any]:
    return {
        "took": 3,
        "timed_out": False,
        "_shards": {"total": 30, "successful": 30 - failed, "skipped": 0, "failed": failed},
        "hits": {"total": {"value": len(hits), "relation": "eq"}, "max_score": None, "hits": hits[:size]},
    }


def failure(status: int, kind: str, reason: str, headers: dict[str, str] | None = None) -> httpx.Response:
    error = {"root_cause": [{"type": kind, "reason": reason}], "type": kind, "reason": reason}
    return httpx.Response(status, json={"error": error, "status": status}, headers=headers)


def hit_of(record: AnyRecord) -> dict[str, Any]:
    """A record as the product stores it."""
    source: dict[str, Any] = {
        "@timestamp": record.event_at.isoformat(),
        "message": record.title,
        "host": {"name": record.hosts[0]},
        "process": {"pid": record.pid, "command_line": "".join(record.commands)},
        "labels": dict(record.fields),
    }
    if isinstance(record, Alert):
        source |= {
            "@timestamp": record.created_at.isoformat(),
            "kibana.alert.original_time": record.event_at.isoformat(),
            "kibana.alert.rule.name": record.rule,
            "kibana.alert.severity": record.severity,
            "kibana.alert.original_event": DEFEND.get(record.prevention, {"kind": "event"}),
        }
    return {"_index": "index-000001", "_id": record.id, "_source": source}
