"""Whether Falcon can be trusted with checks, and we with Falcon."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from checking_core import BackendAuthFailedError, DetectionError, Health
from checking_core.plugin.fields import moment_at, texts_at
from checking_core.plugin.http import HttpReply
from checking_core.plugin.visit import Visit
from checking_plugin_crowdstrike.answers import page_of
from checking_plugin_crowdstrike.client import Call, CrowdStrikeClient
from checking_plugin_crowdstrike.clouds import cloud_at
from checking_plugin_crowdstrike.queries import ALERTS, HOSTS, host_named, newest
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

__all__ = ["Checkup"]

_EXCESS = {
    "Users: Read": "/user-management/queries/users/v1",
    "Real time response: Read": "/real-time-response/queries/sessions/v1",
    "Prevention policies: Read": "/policy/queries/prevention/v1",
    "IOC Management: Read": "/iocs/queries/indicators/v1",
}
"""What an API client of a detector has no use for, and a route that only tells ids to whoever has it."""
_SILENT = timedelta(hours=1)
"""A sensor that was not in contact for so long does not report."""


class Checkup(Visit):
    """One visit.

    Args:
        settings: of the backend.
        client: of its customer.
        now: the present time.
    """

    def __init__(self, settings: CrowdStrikeSettings, client: CrowdStrikeClient, now: datetime) -> None:
        super().__init__(now)
        self._settings = settings
        self._client = client

    async def health(self) -> Health:
        """What is right and what is not.

        Raises:
            DetectionError: Falcon does not answer, or lets us read no alerts.
        """
        await self._look_at_alerts()
        await self._look_at_hosts()
        if host := self._settings.check_host:
            await self._look_for(host)
        await self._look_for_excess()
        return self.found

    async def _look_at_alerts(self) -> None:
        reply = await self._client.ask(newest(ALERTS).page())
        self.say_clock(reply.clock_offset)
        if cloud := cloud_at(self._client.address):
            self.say(f"cloud {cloud}")
        _, errors = _first(reply)
        self.say("alerts can be read", *errors, self._age(reply, "alert", ALERTS.time), well=not errors)

    async def _look_at_hosts(self) -> None:
        try:
            reply = await self._client.ask(newest(HOSTS).page())
        except BackendAuthFailedError:
            wanted = self._settings.check_host is not None
            self.say(f"hosts cannot be read, so alive cannot be asked: it needs {HOSTS.scope}", well=not wanted)
        else:
            self.say("hosts can be read", self._age(reply, "contact of a host", HOSTS.time))

    async def _look_for(self, host: str) -> None:
        try:
            reply = await self._client.ask(newest(HOSTS, host_named(host)).page())
        except BackendAuthFailedError:
            return  # what was said of all hosts
        row, _ = _first(reply)
        seen = moment_at(row, HOSTS.time)
        reports = seen is not None and self._now - seen <= _SILENT
        self.say(f"of {host} {self._age(reply, 'contact', HOSTS.time)}", well=reports)
        if "yes" in texts_at(row, "reduced_functionality_mode"):
            self.say(f"the sensor of {host} runs with reduced functionality", well=False)

    async def _look_for_excess(self) -> None:
        """What this API client may read and a detector never does. What it may write only writing would tell."""
        granted = [scope for scope, path in _EXCESS.items() if await self._may(Call("GET", path, scope, {"limit": 1}))]
        if granted:
            self.say(f"may do {', '.join(granted)}, which it does not need")

    async def _may(self, call: Call) -> bool:
        try:
            await self._client.ask(call)
        except DetectionError:
            return False
        return True

    def _age(self, reply: HttpReply, record: str, field: str) -> str:
        when = moment_at(_first(reply)[0], field)
        if when is None:
            return f"there is no {record} yet"
        return self.age(record, when)


def _first(reply: HttpReply) -> tuple[dict[str, Any], tuple[str, ...]]:
    page = page_of(reply.json(), "after")
    return (page.rows[0] if page.rows else {}), page.errors
