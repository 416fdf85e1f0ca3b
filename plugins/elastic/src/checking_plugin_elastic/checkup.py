"""Whether the cluster can be trusted with checks, and we with the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from checking_core import DetectionError, Health
from checking_core.plugin.fields import moment_at, values_at
from checking_core.plugin.visit import Visit
from checking_plugin_elastic.client import Call, ElasticClient
from checking_plugin_elastic.completeness import gaps_in
from checking_plugin_elastic.kibana import Kibana
from checking_plugin_elastic.queries import host_like, newest
from checking_plugin_elastic.settings import ElasticSettings

__all__ = ["Checkup"]

_EXCESS = ["write", "delete", "delete_index", "manage"]


class Checkup(Visit):
    """One visit.

    Args:
        settings: of the backend.
        client: of its cluster.
        kibana: if its address is set.
        now: the present time.
    """

    def __init__(self, settings: ElasticSettings, client: ElasticClient, kibana: Kibana | None, now: datetime) -> None:
        super().__init__(now)
        self._settings = settings
        self._client = client
        self._kibana = kibana

    async def health(self) -> Health:
        """What is right and what is not.

        Raises:
            DetectionError: the cluster does not answer, or lets us read nothing.
        """
        await self._look_at(self._settings.alerts_index, "alert")
        if index := self._settings.index:
            await self._look_at(index, "event")
        if host := self._settings.check_host:
            await self._look_for(host)
        await self._look_for_rules()
        await self._look_for_excess()
        return self.found

    async def _look_at(self, index: str, record: str) -> None:
        reply = await self._client.search(newest(index))
        gaps = gaps_in(reply.json())
        if not self._words:
            self.say_clock(reply.clock_offset)
        self.say(f"{record}s in {index} can be read", *gaps, self._age(reply.json(), record), well=not gaps)

    async def _look_for(self, host: str) -> None:
        if (index := self._settings.index) is None:
            self.say(f"of {host} nothing is known: set INDEX", well=False)
            return
        answer = (await self._client.search(newest(index, host_like(host, f"{host}.*")))).json()
        self.say(f"of {host} {self._age(answer, 'event')}", well=bool(values_at(answer, "hits.hits")))

    async def _look_for_rules(self) -> None:
        if self._kibana is None:
            return
        try:
            known = await self._kibana.rules()
        except DetectionError as error:
            self.say(f"the rules cannot be read: {error}")
        else:
            words = "the rules can be read"
            self.say(words if known is not None else f"{words}, but one of them names its alerts after events")

    async def _look_for_excess(self) -> None:
        """What these credentials may do and a detector never does; nothing where the product does not tell."""
        names = [index for index in (self._settings.alerts_index, self._settings.index) if index]
        wanted = {"names": names, "privileges": _EXCESS}
        call = Call("/_security/user/_has_privileges", {"index": [wanted], "cluster": ["manage"]})
        try:
            told = (await self._client.search(call)).json()
        except DetectionError:
            return
        if granted := {name for part in values_at(told, "cluster", "index") for name in _granted(part)}:
            self.say(f"may {', '.join(sorted(granted))}, which it does not need")

    def _age(self, answer: Mapping[str, Any], record: str) -> str:
        moment = moment_at(answer, "hits.hits._source.@timestamp")
        if moment is None:
            return f"there is no {record} yet"
        return self.age(record, moment)


def _granted(told: Any) -> list[str]:
    """The names of privileges that stand at ``true``, at any level."""
    if not isinstance(told, Mapping):
        return []
    here = [name for name, value in told.items() if value is True]
    return here + [name for value in told.values() for name in _granted(value)]
