"""A customer of CrowdStrike Falcon: its API clients' log-in, its alerts and its hosts.

What it is told: ``{"client": [id, secret], "scopes": ["Alerts: Read", ...], "alerts": [...], "devices": [...],
"generation": 1, "page": 1000, "errors": [], "limited_until": None}``. Tokens of another ``generation`` are refused;
until the second ``limited_until`` since 1970 everybody is.

It reads as much of FQL as checks of tests are written in; what it cannot read is a 400, so that no test passes for a
filter that was not understood.

Sources: CrowdStrike/gofalcon ``falcon/client/oauth2``, ``falcon/client/alerts``, ``falcon/client/hosts``,
``falcon/models`` and ``falcon/api_client.go``; CrowdStrike/falconpy ``src/falconpy/_endpoint/{_alerts,_hosts}.py``.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from checking_core.plugin.fields import texts_at

from .fql import UnreadableError, filter_of
from .serving import Told

__all__ = ["create_app"]

Record = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]

_TRACE = "13787250-fc0f-49a6-9191-d809e30afdfb"
_ELSEWHERE = {
    "/user-management/queries/users/v1": "Users: Read",
    "/real-time-response/queries/sessions/v1": "Real time response: Read",
    "/policy/queries/prevention/v1": "Prevention policies: Read",
    "/iocs/queries/indicators/v1": "IOC Management: Read",
}
"""Routes that tell ids, and the scope of each: falconpy ``_endpoint``."""


class RefusedError(Exception):
    """An answer other than 2xx."""

    def __init__(self, status: int, words: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(words)
        self.status, self.headers = status, headers


def create_app(told: Told) -> Starlette:
    """The application; ``told`` gives what the customer has."""
    customer = Customer(told)
    routes: list[tuple[str, Handler, str, str]] = [
        ("/alerts/combined/alerts/v1", customer.alerts, "POST", "Alerts: Read"),
        ("/devices/combined/devices/v1", customer.devices, "GET", "Hosts: Read"),
        *((path, customer.nothing, "GET", scope) for path, scope in _ELSEWHERE.items()),
    ]
    log_in = Route("/oauth2/token", customer.guarded(customer.log_in), methods=["POST"])
    return Starlette(
        routes=[log_in]
        + [Route(path, customer.guarded(handler, scope), methods=[method]) for path, handler, method, scope in routes]
    )


class Customer:
    """What answers each route."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def guarded(self, handler: Handler, scope: str | None = None) -> Handler:
        """Only whoever has a token with the scope is answered, and a refusal is one of the product."""

        async def answer(request: Request) -> Response:
            try:
                self._admit(request, scope)
                response = await handler(request)
            except RefusedError as error:
                body = _answer([], [{"code": error.status, "message": str(error)}])
                response = JSONResponse(body, error.status, headers=error.headers)
            response.headers["X-CS-TRACEID"] = _TRACE
            response.headers["X-RateLimit-Limit"] = "6000"
            return response

        return answer

    async def log_in(self, request: Request) -> Response:
        """``POST /oauth2/token``: oauth2_access_token_responses.go, models/domain_access_token_response_v1.go."""
        form = parse_qs((await request.body()).decode())
        if [*form.get("client_id", []), *form.get("client_secret", [])] != self._told()["client"]:
            raise RefusedError(403, "access denied, authorization failed")
        body = {"access_token": self._token, "token_type": "bearer", "expires_in": 1799}
        return JSONResponse(body, 201, headers={"X-CS-Region": "us-1"})

    async def alerts(self, request: Request) -> Response:
        """``POST /alerts/combined/alerts/v1``: post_combined_alerts_v1 of gofalcon; ``limit`` is 1000 at most."""
        body = await request.json()
        if not 0 < body.get("limit", 100) <= 1000:
            raise RefusedError(400, "limit must be between 1 and 1000")
        return self._page("alerts", body, "after", "after")

    async def devices(self, request: Request) -> Response:
        """``GET /devices/combined/devices/v1``: CombinedDevicesByFilter of falconpy, whose offset is a token."""
        params = dict(request.query_params)
        return self._page("devices", {**params, "limit": int(params.get("limit", "100"))}, "offset", "next")

    async def nothing(self, _: Request) -> Response:
        """Ids of something of which there is none."""
        return JSONResponse(_answer([], []))

    @property
    def _token(self) -> str:
        return f"token-{self._told().get('generation', 1)}"

    def _admit(self, request: Request, scope: str | None) -> None:
        """A bearer token that is good (401) and has the scope (403), within the limit (429): api_client.go."""
        until = self._told().get("limited_until")
        if until is not None and time.time() < until:
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-RetryAfter": str(until)}
            raise RefusedError(429, "API rate limit exceeded.", headers)
        if scope is None:
            return
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise RefusedError(401, "access denied, invalid bearer token")
        if scope not in self._told().get("scopes", ["Alerts: Read", "Hosts: Read"]):
            raise RefusedError(403, "access denied, authorization failed")

    def _page(self, store: str, asked: Mapping[str, Any], cursor: str, way: str) -> Response:
        try:
            test = filter_of(asked.get("filter", ""))
        except UnreadableError as error:
            raise RefusedError(400, str(error)) from error
        found = [one for one in self._told().get(store, []) if test(one)]
        field, _, order = asked["sort"].partition("|")
        found.sort(key=lambda one: texts_at(one, field), reverse=order == "desc")
        start = int(base64.b64decode(asked[cursor])) if cursor in asked else 0
        end = start + min(asked["limit"], self._told().get("page", 1000))
        pagination: dict[str, Any] = {"limit": asked["limit"], "total": len(found)}
        if end < len(found):
            pagination[way] = base64.b64encode(str(end).encode()).decode()
        return JSONResponse(_answer(found[start:end], self._told().get("errors", []), pagination))


def _answer(resources: list[Record], errors: list[Record], pagination: Record | None = None) -> dict[str, Any]:
    """models/msa_meta_info.go."""
    meta: Record = {"query_time": 0.008, "powered_by": "detectsapi", "trace_id": _TRACE}
    if pagination is not None:
        meta["pagination"] = pagination
    return {"meta": meta, "errors": errors, "resources": resources}
