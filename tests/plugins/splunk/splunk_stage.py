"""Splunk, played: the routes that the detector asks, each as a recorded answer or the SDK has it.

``auth/login``, ``search/v2/jobs`` and what is below: splunklib/client.py; states, messages and JSON as of 10.4.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs

import httpx
import respx
from pydantic import SecretStr
from tests.plugins.http_stage import PLAIN_WAIT, HttpStage

from checking_core import Ask, Prevention
from checking_core.matching.record import Alert, AnyRecord
from checking_core.testing import Trouble
from checking_plugin_splunk.detector import SplunkDetector
from checking_plugin_splunk.settings import SplunkSettings

URL = "https://splunk.example:8089"
MOST_OF_A_PAGE = 100
ACTION = {Prevention.BLOCKED: "blocked", Prevention.NOT_BLOCKED: "allowed"}
PEER_AWAY = "Unable to distribute to peer named idx2 at uri=idx2:8089 because peer has status=Down."
ABOUT: dict[str, Any] = {
    "/server/info": {"version": "10.4.2"},
    "/authentication/current-context": {"username": "checking", "capabilities": ["search"]},
}
_HEAD = re.compile(r"\| head (\d+)\Z")


class SplunkStage(HttpStage):
    """One search head. ``asked`` are the requests, ``searches`` the texts of the jobs, ``left`` those not deleted."""

    def __init__(self, router: respx.Router) -> None:
        super().__init__()
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.searches: list[str] = []
        router.route(host="splunk.example").mock(side_effect=self.answer)

    @property
    def left(self) -> set[str]:
        return set(self.jobs)

    @property
    def forms(self) -> list[dict[str, str]]:
        """What jobs were created with."""
        posted = [one for one in self.asked if one.method == "POST" and one.url.path.endswith("/jobs")]
        return [{name: value for name, (value,) in parse_qs(one.content.decode()).items()} for one in posted]

    def detector(self, **options: Any) -> SplunkDetector:
        told = {"url": URL, "token": SecretStr(self.secret), "index": "main"}
        settings = SplunkSettings(**told, prevented_when={"action": "blocked"})
        return SplunkDetector("splunk", settings, **options)

    def show(self, ask: Ask, *records: AnyRecord) -> None:
        self.rows["notable" if ask is Ask.ALERT else "main"] = [row_of(record) for record in records]

    def refusal(self) -> httpx.Response:
        return said(401, "WARN", "call not properly authenticated")

    def limit(self) -> httpx.Response:
        return said(429, "ERROR", "Too many requests", PLAIN_WAIT)

    def found(self, request: httpx.Request) -> httpx.Response:
        if (route := request.url.path.removeprefix("/services")) in ABOUT:
            return httpx.Response(200, json={"entry": [{"content": ABOUT[route]}]})
        path = route.removeprefix("/search/v2/jobs").strip("/")
        match request.method, path.partition("/"):
            case "POST", ("", _, _):
                return self.created(self.forms[-1]["search"])
            case "GET", (sid, _, "results"):
                return httpx.Response(200, json=results(self.jobs[sid], request.url.params))
            case "GET", (sid, _, _):
                peers = [{"type": "ERROR", "text": PEER_AWAY}] if self.trouble is Trouble.PARTIAL else []
                return httpx.Response(200, json=a_job(resultCount=len(self.jobs[sid]), messages=peers))
            case "DELETE", (sid, _, _):
                del self.jobs[sid]
                return said(200, "INFO", "Search job cancelled.")
        raise AssertionError(f"{request.method} {request.url} is not asked by a detector")

    def created(self, search: str) -> httpx.Response:
        self.searches.append(search)
        sid = f"1795203601.{len(self.searches)}"
        head = _HEAD.search(search)
        self.jobs[sid] = self.rows_of(search)[: int(head[1]) if head else None]
        return httpx.Response(201, json={"sid": sid})

    def rows_of(self, search: str) -> list[dict[str, Any]]:
        if "eventcount" in search:
            return [{"index": "main", "count": "1"}]
        return self.rows.get("notable" if 'index="notable"' in search else "main", [])


def said(status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, json={"messages": [{"type": kind, "text": text}]}, headers=headers)


def a_job(**changes: Any) -> dict[str, Any]:
    """The state of a job, as Splunk 10.4 tells it."""
    content = {
        "dispatchState": "DONE",
        "doneProgress": 1,
        "isDone": True,
        "isFailed": False,
        "isFinalized": False,
        "isZombie": False,
        "eventCount": 5,
        "resultCount": 5,
        "scanCount": 5,
        "eventIsTruncated": False,
        "messages": [],
        "ttl": 600,
    }
    return {"entry": [{"name": "search", "content": content | changes}]}


def results(rows: list[dict[str, Any]], params: httpx.QueryParams) -> dict[str, Any]:
    first, most = int(params["offset"]), min(int(params["count"]), MOST_OF_A_PAGE)
    return {"preview": False, "init_offset": first, "messages": [], "results": rows[first : first + most]}


def row_of(record: AnyRecord) -> dict[str, Any]:
    """A record as the product hands it over."""
    row: dict[str, Any] = {
        "_bkt": "main~1~B7B9",
        "_cd": record.id,
        "_time": record.event_at.isoformat(),
        "_raw": record.title,
        "host": record.hosts[0],
        "process_id": str(record.pid) if record.pid is not None else None,
        "process": "".join(record.commands),
        **{name: str(value) for name, value in record.fields.items()},
    }
    if isinstance(record, Alert):
        row |= {
            "_time": record.created_at.isoformat(),
            "_indextime": str(int(record.created_at.timestamp())),
            "event_id": record.id,
            "orig_time": str(record.event_at.timestamp()),
            "host": "the-search-head",
            "dest": record.hosts[0],
            "rule_name": record.rule,
            "rule_title": record.title,
            "severity": record.severity,
            "action": ACTION.get(record.prevention),
        }
    return {name: value for name, value in row.items() if value is not None}
