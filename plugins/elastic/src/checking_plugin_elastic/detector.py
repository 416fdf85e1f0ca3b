"""The detector: alerts of Elastic Security, and searches over everything that Elasticsearch holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from checking_core import (
    Alert,
    Ask,
    DetectionConfig,
    DetectionError,
    Event,
    FatalDetectionError,
    Health,
    Reason,
    SearchAnswer,
    SearchDetector,
    SearchRequest,
)
from checking_core.matching.window import Window
from checking_core.plugin.fields import values_at
from checking_plugin_elastic.answers import rows_of
from checking_plugin_elastic.client import Call, ElasticClient
from checking_plugin_elastic.completeness import gaps_in
from checking_plugin_elastic.language import language_of, literal
from checking_plugin_elastic.queries import asked
from checking_plugin_elastic.records import alert_of, event_of
from checking_plugin_elastic.settings import ElasticSettings

__all__ = ["ElasticDetector"]


class ElasticDetector(SearchDetector):
    """Asks one cluster.

    A look that runs out of time closes its connection, upon which the cluster ends the search.
    """

    platform = "elastic"
    answers = frozenset(Ask)
    Settings = ElasticSettings
    settings: ElasticSettings

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._client = ElasticClient(self.settings, self.clock)

    async def close(self) -> None:
        """See ``BaseWorker``."""
        await self._client.close()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """See ``SearchDetector``."""
        if self.settings.missing:
            raise FatalDetectionError(self.settings.missing, reason=Reason.BACKEND_AUTH_FAILED)
        question = asked(request, alerts_index=self.settings.alerts_index, index=self.settings.index)
        reply = await self._client.search(question.call)
        answer = reply.json()
        rows, gaps = rows_of(answer, question), gaps_in(answer)
        alert = {"alert": True} if request.ask is Ask.ALERT else {}
        return SearchAnswer(
            records=[row | alert for row in rows.records],
            complete=rows.whole and not gaps,
            reason=Reason.BACKEND_PARTIAL_ANSWER if gaps else None,
            query_sent=question.words,
            messages=gaps,
            clock_offset=reply.clock_offset,
        )

    def normalise(self, record: Mapping[str, Any]) -> Alert | Event:
        """See ``SearchDetector``."""
        return alert_of(record, kibana=self.settings.kibana) if record.get("alert") else event_of(record)

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        """See ``SearchDetector``."""
        return literal(values, language_of(language), within=quoted)

    async def self_check(self) -> Health:
        """See ``BaseWorker``: whether the alerts can be read, how old the newest is, and whether we may too much."""
        if self.settings.missing:
            return Health(ok=None, detail=self.settings.missing)
        now = self.clock()
        everything = Window(datetime.fromtimestamp(0, UTC), now)
        request = SearchRequest(ask=Ask.ALERT, query=None, window=everything, limit=1, config=DetectionConfig())
        call = asked(request, alerts_index=self.settings.alerts_index, index=None).call
        newest = {**call.body, "sort": [{"@timestamp": {"order": "desc", "unmapped_type": "date"}}]}
        reply = await self._client.search(call._replace(body=newest))
        gaps = gaps_in(reply.json())
        words = [f"alerts in {self.settings.alerts_index} can be read", *gaps, _age(reply.json(), now)]
        if reply.clock_offset is not None:
            words.append(f"clock {reply.clock_offset:+.0f} s")
        return Health(ok=not gaps, detail="; ".join([*words, *await self._excess()]))

    async def _excess(self) -> list[str]:
        """What these credentials may do and a detector never does; nothing where the product does not tell."""
        wanted = {"names": [self.settings.alerts_index], "privileges": ["write", "delete_index"]}
        call = Call("/_security/user/_has_privileges", {"index": [wanted], "cluster": ["manage"]})
        try:
            told = (await self._client.search(call)).json()
        except DetectionError:
            return []
        granted = {name for part in values_at(told, "cluster", "index") for name in _granted(part)}
        return [f"may {', '.join(sorted(granted))}, which it does not need"] if granted else []


def _granted(told: Any) -> list[str]:
    """The names of privileges that stand at ``true``, at any level."""
    if not isinstance(told, Mapping):
        return []
    here = [name for name, value in told.items() if value is True]
    return here + [name for value in told.values() for name in _granted(value)]


def _age(answer: Mapping[str, Any], now: datetime) -> str:
    raised = [alert_of(hit).created_at for hit in values_at(answer, "hits.hits")]
    if not raised or raised[0] is None:
        return "there is no alert yet"
    return f"newest alert {(now - raised[0]).total_seconds() / 60:.0f} minutes old"
