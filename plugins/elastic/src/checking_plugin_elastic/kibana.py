"""Kibana over HTTP: the rules of its detection engine, which Elasticsearch itself does not tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from checking_core import BackendUnreachableError, Rule
from checking_core.plugin.fields import number_at, texts_at, values_at
from checking_core.plugin.http import HttpClient
from checking_core.plugin.http_failure import failure_of
from checking_plugin_elastic.settings import ElasticSettings

__all__ = ["Kibana"]

_PAGE = 1000
_MOST_PAGES = 100


class Kibana:
    """One space of Kibana, with the credentials of the cluster."""

    def __init__(self, settings: ElasticSettings, clock: Callable[[], datetime]) -> None:
        headers = {
            "Authorization": settings.authorization,
            "kbn-xsrf": "true",
            "Elastic-Api-Version": "2023-10-31",
        }
        self._http = HttpClient(settings.kibana or "", settings, headers=headers, clock=clock)

    async def rules(self) -> list[Rule] | None:
        """The installed rules, each by the id that its author gave it and by the one that it has in this space.

        ``None`` if an enabled rule takes the names of its alerts from the events: then a name that no rule has may
        still be that of an alert.

        Raises:
            DetectionError: Kibana does not answer, or not to us.
        """
        found: list[Mapping[str, Any]] = []
        for page in range(1, _MOST_PAGES + 1):
            total, rules = await self._page(page)
            found += rules
            if len(found) >= total or not rules:
                break
        else:
            return None
        if any(rule.get("enabled") and rule.get("rule_name_override") for rule in found):
            return None
        return [known for rule in found for known in _by_each_id(rule)]

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _page(self, page: int) -> tuple[int, list[Mapping[str, Any]]]:
        params = {"page": page, "per_page": _PAGE, "sort_field": "created_at", "sort_order": "asc"}
        reply = await self._http.ask("GET", "/api/detection_engine/rules/_find", params=params)
        if reply.status != 200:
            raise failure_of(reply)
        answer = reply.json()
        if (total := number_at(answer, "total")) is None:
            raise BackendUnreachableError("Kibana answered 200 with something that is no list of rules")
        return total, values_at(answer, "data")


def _by_each_id(rule: Mapping[str, Any]) -> list[Rule]:
    name, version = "".join(texts_at(rule, "name")), "".join(texts_at(rule, "version")) or None
    enabled = rule.get("enabled") is not False
    return [Rule(id=one, name=name, enabled=enabled, version=version) for one in texts_at(rule, "rule_id", "id")]
