"""Whether Splunk can be trusted with checks, and we with Splunk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from checking_core import DetectionError, Health
from checking_core.matching.window import Window
from checking_core.plugin.fields import moment_at, texts_at
from checking_core.plugin.visit import Visit
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.fired import FIRED_ALERTS, FiredAlerts
from checking_plugin_splunk.jobs import Jobs
from checking_plugin_splunk.queries import eventcount, host_like, newest
from checking_plugin_splunk.settings import AlertSource, SplunkSettings

__all__ = ["Checkup"]

_BACK = timedelta(days=7)
_TIMEOUT = 30.0
_EXCESS = """
    admin_all_objects change_authentication delete_by_keyword edit_notable_events edit_roles edit_search_scheduler
    edit_server edit_user indexes_edit output_file restart_splunkd rest_properties_set run_collect run_mcollect
    run_custom_command schedule_search edit_search_schedule_window
"""
"""Capabilities by which an account changes something."""


class Checkup(Visit):
    """One visit.

    Args:
        settings: of the backend.
        client: of its search head.
        jobs: its searches.
        now: the present time.
    """

    def __init__(self, settings: SplunkSettings, client: SplunkClient, jobs: Jobs, now: datetime) -> None:
        super().__init__(now)
        self._settings = settings
        self._client = client
        self._jobs = jobs

    async def health(self) -> Health:
        """What is right and what is not.

        Raises:
            DetectionError: Splunk does not answer, or lets us search nothing.
        """
        await self._meet()
        if self._settings.alert_source is AlertSource.FIRED:
            await self._client.ask("GET", FIRED_ALERTS, params={"count": 1})
            saved = await FiredAlerts(self._client, self._jobs).saved_searches()
            self.say(f"fired alerts can be read, of {len(saved)} saved searches", well=bool(saved))
        else:
            await self._look_at(self._settings.alerts_index, "alert")
        if index := self._settings.index:
            await self._look_at(index, "event")
        if host := self._settings.check_host:
            await self._look_for(host)
        await self._look_for_excess()
        return self.found

    async def _meet(self) -> None:
        reply = await self._client.ask("GET", "/services/server/info")
        for version in texts_at(reply.json(), "entry.content.version"):
            self.say(f"Splunk {version}")
        self.say_clock(reply.clock_offset)

    async def _look_at(self, index: str, record: str) -> None:
        missing = [name.strip() for name in index.split(",") if not await self._rows(eventcount(name.strip()))]
        if missing:
            self.say(f"the index {', '.join(missing)} is not there, or not for this account", well=False)
            return
        self.say(f"{record}s in {index} can be read", self._age(await self._rows(newest(index)), record))

    async def _look_for(self, host: str) -> None:
        if (index := self._settings.index) is None:
            self.say(f"of {host} nothing is known: set INDEX", well=False)
            return
        rows = await self._rows(newest(index, host_like(host, f"{host}.*")))
        self.say(f"of {host} {self._age(rows, 'event')}", well=bool(rows))

    async def _look_for_excess(self) -> None:
        """What this account may do and a detector never does; nothing where Splunk does not tell."""
        try:
            told = (await self._client.ask("GET", "/services/authentication/current-context")).json()
        except DetectionError:
            return
        if granted := set(_EXCESS.split()).intersection(texts_at(told, "entry.content.capabilities")):
            self.say(f"may {', '.join(sorted(granted))}, which it does not need")

    async def _rows(self, search: str) -> list[dict[str, Any]]:
        window = Window(self._now - _BACK, self._now)
        found = await self._jobs.run(search, window, most=1, seconds=_TIMEOUT)
        if found.gaps:
            self.say(*found.gaps, well=False)
        return found.rows

    def _age(self, rows: list[dict[str, Any]], record: str) -> str:
        newest_row: Mapping[str, Any] = rows[0] if rows else {}
        moment, stored = moment_at(newest_row, "_time"), moment_at(newest_row, "_indextime")
        if moment is None:
            return f"there is no {record} of the last {_BACK.days} days"
        late = f", stored {(stored - moment).total_seconds():.0f} s later" if stored else ""
        return self.age(record, moment, more=late)
