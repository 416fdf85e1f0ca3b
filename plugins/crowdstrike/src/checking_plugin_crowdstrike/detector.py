"""The detector: alerts of Falcon, what it prevented, and whether a host's sensor reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from checking_core import Ask, Health, SearchAnswer, SearchDetector, SearchRequest
from checking_core.matching.record import AnyRecord
from checking_core.plugin.fields import texts_at
from checking_plugin_crowdstrike.checkup import Checkup
from checking_plugin_crowdstrike.client import CrowdStrikeClient
from checking_plugin_crowdstrike.disposition import contradiction_in
from checking_plugin_crowdstrike.fql import FQL, literal
from checking_plugin_crowdstrike.queries import asked
from checking_plugin_crowdstrike.records import alert_of, host_of
from checking_plugin_crowdstrike.search import search
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings

__all__ = ["CrowdStrikeDetector"]

_MOST_NOTES = 10


class CrowdStrikeDetector(SearchDetector):
    """Asks one customer of Falcon.

    Raw telemetry lies in another store, which this detector does not search: a check that asks for it is
    ``not_applicable``.
    """

    platform = "crowdstrike"
    default_language = FQL
    answers = frozenset({Ask.ALERT, Ask.PREVENTION, Ask.ALIVE})
    Settings = CrowdStrikeSettings
    settings: CrowdStrikeSettings

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._client = CrowdStrikeClient(self.settings, self.clock)

    async def close(self) -> None:
        """See ``BaseWorker``."""
        await self._client.close()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """See ``SearchDetector``."""
        question = asked(request)
        found = await search(self._client, question, limit=request.limit)
        return SearchAnswer(
            records=[{"asked": request.ask, "resource": row} for row in found.rows],
            complete=found.whole,
            query_sent=question.words,
            messages=(*found.gaps, *_notes(request.ask, found.rows)),
            clock_offset=found.clock_offset,
        )

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        """See ``SearchDetector``."""
        if record["asked"] is Ask.ALIVE:
            return host_of(record["resource"])
        return alert_of(record["resource"], console=self._client.console)

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002 - of which there is one
        """See ``SearchDetector``."""
        return literal(values, within=quoted)

    async def self_check(self) -> Health:
        """See ``BaseWorker``."""
        return await Checkup(self.settings, self._client, self.clock()).health()


def _notes(ask: Ask, rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What a person should know of the records, which no field of theirs in core's words tells."""
    if ask is Ask.ALIVE:
        found = [
            f"the sensor of {_named(row, 'hostname')} runs with reduced functionality"
            for row in rows
            if _is_reduced(row)
        ]
    else:
        wrong = ((row, contradiction_in(row)) for row in rows)
        found = [f"alert {_named(row, 'composite_id')}: {words}" for row, words in wrong if words]
    return tuple(found[:_MOST_NOTES])


def _named(row: Mapping[str, Any], field: str) -> str:
    return "".join(texts_at(row, field))[:100]


def _is_reduced(row: Mapping[str, Any]) -> bool:
    return "yes" in texts_at(row, "reduced_functionality_mode")
