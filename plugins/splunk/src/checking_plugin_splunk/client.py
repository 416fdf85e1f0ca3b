"""Splunk over HTTP: the way in, and what its errors mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Literal

from checking_core import BackendAuthFailedError, BackendUnreachableError
from checking_core.plugin.fields import texts_at
from checking_core.plugin.http import HttpClient, HttpReply
from checking_core.plugin.issued import Issued, IssuedCredential
from checking_plugin_splunk.messages import failure_from
from checking_plugin_splunk.settings import SplunkSettings

__all__ = ["SplunkClient"]


class SplunkClient:
    """The management port, with a token, or with a session that is opened again once where Splunk has ended it."""

    def __init__(self, settings: SplunkSettings, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._http = HttpClient(settings.address, settings, clock=clock)
        self._session = None if settings.token else IssuedCredential(self._log_in, clock)
        self._refused_anew = False

    async def ask(
        self,
        method: Literal["GET", "POST", "DELETE"],
        route: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        accept: frozenset[int] = frozenset(),
    ) -> HttpReply:
        """Ask once, as JSON.

        Args:
            method: of HTTP.
            route: below the namespace, or from the root if it begins with a slash.
            params: of the address.
            data: of a form.
            accept: statuses of 400 and more that the caller understands.

        Raises:
            DetectionError: whatever is not an answer.
        """
        request = {"params": {**(params or {}), "output_mode": "json"}, "data": data}
        path = route if route.startswith("/") else f"{self._settings.namespace}/{route}"
        reply = await self._authorised(method, path, request)
        if reply.status < 300 or reply.status in accept:
            return reply
        raise failure_from(reply)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _authorised(
        self, method: Literal["GET", "POST", "DELETE"], path: str, request: dict[str, Any]
    ) -> HttpReply:
        if self._session is None:
            token = self._settings.token.get_secret_value() if self._settings.token else ""
            return await self._http.ask(method, path, headers={"Authorization": f"Bearer {token}"}, **request)
        key = await self._session.token()
        reply = await self._http.ask(method, path, headers={"Authorization": f"Splunk {key}"}, **request)
        if reply.status != 401:
            return reply
        self._session.refused(key)
        renewed = await self._session.token()
        reply = await self._http.ask(method, path, headers={"Authorization": f"Splunk {renewed}"}, **request)
        if reply.status == 401:
            self._session.refused(renewed)
            self._refused_anew = True
        return reply

    async def _log_in(self) -> Issued:
        if self._refused_anew:  # another one would fare no better: it counts as a log-in that was refused
            self._refused_anew = False
            raise BackendAuthFailedError("a session that had just been opened was refused")
        password = self._settings.password.get_secret_value() if self._settings.password else ""
        form = {"username": self._settings.username, "password": password, "output_mode": "json"}
        reply = await self._http.ask("POST", "/services/auth/login", data=form)
        if reply.status != 200:
            raise failure_from(reply)
        for key in texts_at(reply.json(), "sessionKey"):
            return Issued(key)
        raise BackendUnreachableError("the log-in was answered with something that is no session")
