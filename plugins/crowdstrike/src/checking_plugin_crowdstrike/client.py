"""Falcon over HTTP: the token, the region, the limit of requests, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from checking_core import BackendAuthFailedError, BackendRateLimitedError, BackendUnreachableError, DetectionError
from checking_core.plugin.fields import number_at, texts_at
from checking_core.plugin.http import HttpClient, HttpReply
from checking_core.plugin.http_failure import failure_of
from checking_core.plugin.issued import Issued, IssuedCredential
from checking_plugin_crowdstrike.clouds import cloud_at, console_of, redirected
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

__all__ = ["Call", "CrowdStrikeClient", "traced"]

_LOG_IN = "/oauth2/token"
_REFUSED = frozenset({400, 401, 403})
"""How a log-in ends that no repetition can mend."""
_TRACE = re.compile(r"[\w\-]{1,64}", re.ASCII)
_LONGEST_WORDS = 200


class Call(NamedTuple):
    """One request, and the scope that the API client needs for it."""

    method: Literal["GET", "POST"]
    path: str
    scope: str
    params: Mapping[str, Any] = MappingProxyType({})
    body: dict[str, Any] | None = None


class CrowdStrikeClient:
    """One API client of Falcon.

    Every request of a detector carries the same token. It is renewed in time, and once more if Falcon refuses it; if it
    refuses that one too, nobody logs in for a while. Who is at home in another cloud of CrowdStrike's is asked there
    from then on. After Falcon has asked to be left alone, nothing is sent to it until then.
    """

    def __init__(self, settings: CrowdStrikeSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._clock = clock
        self._http = HttpClient(settings.address, settings, clock=clock)
        self._token = IssuedCredential(self._issue, clock)
        self._rests_until: datetime | None = None
        self.address = settings.address

    @property
    def console(self) -> str | None:
        """Where people look at alerts, if the cloud is known."""
        cloud = cloud_at(self.address)
        return console_of(cloud) if cloud else None

    async def ask(self, call: Call) -> HttpReply:
        """The answer to a request.

        Raises:
            DetectionError: whatever is not an answer.
        """
        token = await self._token.token()
        reply = await self._sent(call, token)
        if reply.status == 401:
            self._token.refused(token)
            renewed = await self._token.token()
            reply = await self._sent(call, renewed)
            if reply.status == 401:
                self._token.refused_anew(renewed, str(_failure_of(reply)))
        if reply.status != 200:
            raise _failure_of(reply, call.scope)
        return reply

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _sent(self, call: Call, token: str) -> HttpReply:
        request: dict[str, Any] = {"params": call.params} if call.body is None else {"json": call.body}
        return await self._asked(call.method, call.path, headers={"Authorization": f"Bearer {token}"}, **request)

    async def _asked(self, method: Literal["GET", "POST"], path: str, **request: Any) -> HttpReply:
        """Ask, unless Falcon wants none to; the moment until when it does not is kept for all."""
        now = self._clock()
        if self._rests_until is not None and now < self._rests_until:
            raise BackendRateLimitedError("its limit of requests is used up", retry_after=self._rests_until - now)
        reply = await self._http.ask(method, f"{self.address}{path}", **request)
        if reply.status == 429:
            error = failure_of(reply, _words_of(reply))
            wait = getattr(error, "retry_after", None)
            self._rests_until = None if wait is None else reply.received_at + wait
            raise error
        return reply

    async def _issue(self) -> Issued:
        reply = await self._logged_in()
        if home := redirected(self.address, reply.headers.get("x-cs-region", "")):
            self.address = home
            if reply.status != 201:
                reply = await self._logged_in()
        if reply.status in _REFUSED:
            raise BackendAuthFailedError(f"HTTP {reply.status}: the log-in was refused: {_words_of(reply)}")
        if reply.status not in (200, 201):
            raise _failure_of(reply)
        told = reply.json()
        token, lasts = "".join(texts_at(told, "access_token")), number_at(told, "expires_in")
        if not token:
            raise BackendUnreachableError("answered a log-in without a token")
        return Issued(token=token, lasts=None if lasts is None else timedelta(seconds=lasts))

    async def _logged_in(self) -> HttpReply:
        return await self._asked("POST", _LOG_IN, data=self._settings.credentials)


def traced(words: str, reply: HttpReply) -> str:
    """The words, and by what CrowdStrike's support finds the request, if Falcon says that."""
    trace = reply.headers.get("x-cs-traceid") or next(iter(texts_at(_body_of(reply), "meta.trace_id")), "")
    return ", ".join(filter(None, [words, f"trace {trace}" if _TRACE.fullmatch(trace) else ""]))


def _failure_of(reply: HttpReply, scope: str = "") -> DetectionError:
    missing = f"; the API client lacks {scope}, or its address is not allowed" if scope and reply.status == 403 else ""
    return failure_of(reply, f"{_words_of(reply)}{missing}")


def _words_of(reply: HttpReply) -> str:
    """Falcon's own words, and the trace of the request."""
    return traced(": ".join(texts_at(_body_of(reply), "errors.message"))[:_LONGEST_WORDS], reply)


def _body_of(reply: HttpReply) -> dict[str, Any]:
    try:
        return reply.json()
    except BackendUnreachableError:
        return {}
