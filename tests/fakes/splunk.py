"""A search head of Splunk, with the index of notable events of Enterprise Security or without.

What it is told: ``{"token": ..., "password": ..., "indexes": {name: [event, ...]}, "fired": [{...}],
"saved": [name, ...], "capabilities": [...], "peer_away": false, "polls": 0, "version": "10.4.2"}``. An event is a row;
a fired alert has its ``rows`` besides. ``polls`` is how often a job is looked at before it is done.

It reads as much of SPL as checks of tests are written in; what it cannot read is a FATAL message, so that no test
passes for a search that was not understood. Jobs and sessions live as long as the process.

Sources: splunk-sdk-python ``splunklib/client.py`` and ``binding.py`` for routes, methods and the log-in;
splunk-sdk-csharp-pcl's recordings for statuses, and its texts of errors; the REST API Reference for the JSON of a job;
``alerts/fired_alerts`` as of 10.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .serving import Told
from .spl import UnreadableError, rows_of

__all__ = ["COUNTS", "create_app"]

COUNTS = "_count"
"""How the ids of jobs end that look for an index and search nothing."""

Handler = Callable[[Request], Awaitable[Response]]
_MOST_OF_A_PAGE = 50_000


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status, self.kind = status, kind


class Job:
    """A search, run when it is created. ``left`` are the polls that it still needs."""

    def __init__(self, rows: list[Any], messages: list[dict[str, str]], polls: int) -> None:
        self.rows, self.messages, self.left = rows, messages, polls

    @property
    def failed(self) -> bool:
        return any(message["type"] == "FATAL" for message in self.messages)


def create_app(told: Told) -> Starlette:
    """The application; ``told`` gives what Splunk holds."""
    head = SearchHead(told)
    routes: list[tuple[str, str, Handler]] = [
        ("/services/search/v2/jobs", "POST", head.create),
        ("/services/search/v2/jobs/{sid}", "GET", head.poll),
        ("/services/search/v2/jobs/{sid}", "DELETE", head.delete),
        ("/services/search/v2/jobs/{sid}/results", "GET", head.results),
        ("/servicesNS/-/-/alerts/fired_alerts", "GET", head.groups),
        ("/servicesNS/-/-/alerts/fired_alerts/-", "GET", head.fired),
        ("/servicesNS/-/-/saved/searches", "GET", head.saved),
        ("/services/server/info", "GET", head.about),
        ("/services/authentication/current-context", "GET", head.account),
    ]
    guarded = [Route(path, head.guarded(handler), methods=[method]) for path, method, handler in routes]
    return Starlette(routes=[Route("/services/auth/login", head.log_in, methods=["POST"]), *guarded])


class SearchHead:
    """What answers each route."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._jobs: dict[str, Job] = {}
        self._sessions: set[str] = set()
        self._numbers = count(1)

    def guarded(self, handler: Handler) -> Handler:
        """Only whoever has a token or a session is answered: binding.py, ``_auth_headers``."""

        async def answer(request: Request) -> Response:
            known = {f"Bearer {self._told()['token']}", *(f"Splunk {key}" for key in self._sessions)}
            if request.headers.get("Authorization") not in known:
                return _said(401, "WARN", "call not properly authenticated")
            try:
                return await handler(request)
            except RefusedError as error:
                return _said(error.status, error.kind, str(error))

        return answer

    async def log_in(self, request: Request) -> Response:
        """``POST auth/login``: binding.py, ``login``; the refusal as recorded."""
        form = await _form(request)
        if form.get("password") != self._told().get("password"):
            return _said(401, "WARN", "Login failed")
        key = secrets.token_hex(16)
        self._sessions.add(key)
        return JSONResponse({"sessionKey": key, "message": "", "code": ""})

    async def create(self, request: Request) -> Response:
        """``POST search/v2/jobs``: client.py, ``Jobs.create``; 201 and the text of 400 as recorded."""
        form, held = await _form(request), self._told()
        if form.get("exec_mode") != "normal" or form.get("allow_partial_results") != "false":
            raise RefusedError(400, "FATAL", "this fake is asked in normal mode, without partial results")
        begin, end = float(form["earliest_time"]), float(form["latest_time"])
        messages = []
        try:
            found = rows_of(form["search"], _placed(held["indexes"]), lambda row: begin <= _moment(row) < end)
        except UnreadableError as error:
            raise RefusedError(400, "FATAL", str(error)) from error
        if held.get("peer_away"):
            messages = [{"type": "FATAL", "text": "Search peer idx2 is not available."}]
        kind = COUNTS if form["search"].lstrip(" |").startswith("eventcount") else ""
        sid = f"1795203601.{next(self._numbers)}{kind}"
        self._jobs[sid] = Job(sorted(found, key=_moment, reverse=True), messages, held.get("polls", 0))
        return JSONResponse({"sid": sid}, 201, {"Location": f"/services/search/v2/jobs/{sid}"})

    async def poll(self, request: Request) -> Response:
        """``GET search/v2/jobs/{sid}``: client.py, ``Job.is_ready``; 204 until it is ready, as recorded."""
        job = self._job(request)
        job.left -= 1
        if job.left >= 0:
            return Response(status_code=204)
        content = {
            "dispatchState": "FAILED" if job.failed else "DONE",
            "isDone": True,
            "isFailed": job.failed,
            "isFinalized": False,
            "isZombie": False,
            "resultCount": len(job.rows),
            "messages": job.messages,
        }
        return JSONResponse({"entry": [{"name": "search", "content": content}]})

    async def results(self, request: Request) -> Response:
        """``GET search/v2/jobs/{sid}/results``: client.py, ``Job.results``; 400 of a failed job as of 10.4."""
        job = self._job(request)
        if job.failed:
            raise RefusedError(400, "FATAL", job.messages[0]["text"])
        first, most = (int(request.query_params[name]) for name in ("offset", "count"))
        rows = job.rows[first : first + min(most, _MOST_OF_A_PAGE)]
        return JSONResponse({"preview": False, "init_offset": first, "messages": [], "results": rows})

    async def delete(self, request: Request) -> Response:
        """``DELETE search/v2/jobs/{sid}``: client.py, ``Job.cancel``; its words as recorded."""
        self._job(request)
        del self._jobs[request.path_params["sid"]]
        return _said(200, "INFO", "Search job cancelled.")

    async def groups(self, _: Request) -> Response:
        """``GET alerts/fired_alerts``: client.py, ``Service.fired_alerts``; none before the first."""
        names = ["-", *{one["savedsearch_name"] for one in self._fired()}] if self._fired() else []
        return JSONResponse({"entry": [{"name": name, "content": {"triggered_alert_count": 1}} for name in names]})

    async def fired(self, request: Request) -> Response:
        """``GET alerts/fired_alerts/-``: client.py, ``AlertGroup.alerts``."""
        first, most = (int(request.query_params[name]) for name in ("offset", "count"))
        part = self._fired()[first : first + most]
        contents = [{name: value for name, value in one.items() if name != "rows"} for one in part]
        paging = {"total": len(self._fired()), "perPage": most, "offset": first}
        return JSONResponse({"paging": paging, "entry": [{"name": one["sid"], "content": one} for one in contents]})

    async def saved(self, request: Request) -> Response:
        """``GET saved/searches``: client.py, ``Service.saved_searches``; those that the account may see."""
        first, most = (int(request.query_params[name]) for name in ("offset", "count"))
        names = self._told().get("saved", [])
        content = {"disabled": False, "is_scheduled": True}
        entries = [{"name": name, "content": content} for name in names[first : first + most]]
        return JSONResponse({"paging": {"total": len(names), "perPage": most, "offset": first}, "entry": entries})

    async def about(self, _: Request) -> Response:
        """``GET server/info``: client.py, ``Service.info``."""
        return JSONResponse({"entry": [{"content": {"version": self._told().get("version", "10.4.2")}}]})

    async def account(self, _: Request) -> Response:
        """``GET authentication/current-context``: the REST API Reference."""
        capabilities = self._told().get("capabilities", ["search"])
        return JSONResponse({"entry": [{"content": {"username": "checking", "capabilities": capabilities}}]})

    def _job(self, request: Request) -> Job:
        """The job; the words of one that is gone as recorded."""
        sid = request.path_params["sid"]
        for one in self._fired():
            if one["sid"] == sid and one.get("rows"):
                return Job(one["rows"], [], 0)
        if sid not in self._jobs:
            raise RefusedError(404, "FATAL", "Unknown sid.")
        return self._jobs[sid]

    def _fired(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._told().get("fired", [])
        return found


async def _form(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}


def _placed(indexes: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Each event with its index and the place where it lies there."""
    return {
        name: [
            {"index": name, "_bkt": f"{name}~1~B7B9", "_cd": f"1:{number}", **event}
            for number, event in enumerate(events)
        ]
        for name, events in indexes.items()
    }


def _moment(row: Any) -> float:
    return datetime.fromisoformat(row["_time"]).timestamp() if "_time" in row else 0.0


def _said(status: int, kind: str, text: str) -> Response:
    return JSONResponse({"messages": [{"type": kind, "text": text}]}, status)
