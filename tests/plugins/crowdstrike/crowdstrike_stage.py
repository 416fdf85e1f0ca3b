"""CrowdStrike Falcon, played: the routes that the detector asks, in the shapes that are recorded or specified.

``/oauth2/token``, ``/alerts/combined/alerts/v1``, ``/devices/combined/devices/v1``: CrowdStrike/gofalcon
``falcon/client/{oauth2,alerts,hosts}``.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import httpx
import respx
from pydantic import SecretStr
from tests.plugins.http_stage import HttpStage

from checking_core import Ask, Prevention
from checking_core.matching.record import Alert, AnyRecord
from checking_core.testing import RETRY_AFTER, Trouble
from checking_plugin_crowdstrike.detector import CrowdStrikeDetector
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

PAGE = 100
TRACE = "13787250-fc0f-49a6-9191-d809e30afdfb"
MASKS = {Prevention.BLOCKED: 2176, Prevention.TERMINATED: 16, Prevention.NOT_BLOCKED: 0}
_NOW = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


class CrowdStrikeStage(HttpStage):
    """One customer. ``asked`` are the requests but for the log-ins, which are in ``log_ins``."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__()
        self.log_ins: list[httpx.Request] = []
        self.rows: dict[str, list[dict[str, Any]]] = {}
        router.route(host__regex=r".*\.crowdstrike\.(com|mil)|proxy\.example").mock(side_effect=self.answer)

    def detector(self, **options: Any) -> CrowdStrikeDetector:
        settings = CrowdStrikeSettings(client_id="client", client_secret=SecretStr(self.secret))
        return CrowdStrikeDetector("crowdstrike", settings, **options)

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        self.rows["devices" if ask is Ask.ALIVE else "alerts"] = [row_of(record) for record in records]

    def note(self, request: httpx.Request) -> None:
        (self.log_ins if _logs_in(request) else self.asked).append(request)

    def refusal(self) -> httpx.Response:
        return failure(401, "access denied, invalid bearer token")

    def limit(self) -> httpx.Response:
        until = f"{(_NOW + RETRY_AFTER).timestamp():.0f}"
        headers = {"Date": format_datetime(_NOW, usegmt=True), "X-RateLimit-RetryAfter": until}
        return failure(429, "API rate limit exceeded.", headers)

    def at_ease(self, request: httpx.Request) -> httpx.Response:
        return self.let_in(request) if _logs_in(request) else self.found(request)

    def let_in(self, _: httpx.Request) -> httpx.Response:
        return token("t0ken", region="us-1")

    def found(self, request: httpx.Request) -> httpx.Response:
        told = json.loads(request.content) if request.method == "POST" else dict(request.url.params)
        rows = self.rows.get("alerts" if "alerts" in request.url.path else "devices", [])
        start = int(told.get("after", told.get("offset", 0)))
        part = rows[start : start + min(PAGE, int(told["limit"]))]
        way = str(start + PAGE) if start + PAGE < len(rows) else None
        errors = [{"code": 500, "message": "a shard is away"}] if self.trouble is Trouble.PARTIAL else []
        return httpx.Response(200, json=page(part, total=len(rows), way=way, errors=errors))


def _logs_in(request: httpx.Request) -> bool:
    return request.url.path == "/oauth2/token"


def token(value: str, *, region: str | None = None, lasts: int = 1799, status: int = 201) -> httpx.Response:
    headers = {"X-CS-Region": region} if region else {}
    body = {"access_token": value, "token_type": "bearer", "expires_in": lasts}
    return httpx.Response(status, json=body, headers=headers)


def page(
    rows: list[dict[str, Any]],
    *,
    total: int | None = None,
    way: str | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """An answer; both names of the way to the next page, of which each store has one."""
    told = {"limit": 100, "total": len(rows) if total is None else total}
    pagination = told | ({"after": way, "next": way} if way else {})
    return {"meta": {"trace_id": TRACE, "pagination": pagination}, "errors": errors or [], "resources": rows}


def failure(status: int, words: str, headers: dict[str, str] | None = None) -> httpx.Response:
    body = {"meta": {"trace_id": TRACE}, "errors": [{"code": status, "message": words}], "resources": []}
    return httpx.Response(status, json=body, headers=headers)


def row_of(record: AnyRecord) -> dict[str, Any]:
    """A record as the product stores it."""
    moment = record.event_at.isoformat()
    if not isinstance(record, Alert):
        return {"device_id": record.id, "hostname": record.hosts[0], "first_seen": moment, "last_seen": moment}
    return {
        "composite_id": record.id,
        "description": record.title,
        "name": record.rule,
        "severity_name": record.severity,
        "device": {"hostname": record.hosts[0]},
        "local_process_id": str(record.pid),
        "cmdline": "".join(record.commands),
        "timestamp": moment,
        "created_timestamp": record.created_at.isoformat(),
        "product": "epp",
        "labels": dict(record.fields),
        **({"pattern_disposition": MASKS[record.prevention]} if record.prevention in MASKS else {}),
    }
