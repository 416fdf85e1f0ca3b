"""The detector: alerts of Elastic Security, and searches over everything that Elasticsearch holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from checking_core import (
    Ask,
    BackendAuthFailedError,
    Health,
    Reason,
    Rule,
    SearchAnswer,
    SearchDetector,
    SearchRequest,
)
from checking_core.matching.record import AnyRecord
from checking_core.plugin.conversion import converted
from checking_plugin_elastic.answers import rows_of
from checking_plugin_elastic.checkup import Checkup
from checking_plugin_elastic.client import ElasticClient
from checking_plugin_elastic.completeness import gaps_in
from checking_plugin_elastic.kibana import Kibana
from checking_plugin_elastic.language import language_of, literal
from checking_plugin_elastic.queries import asked, is_converted
from checking_plugin_elastic.records import alert_of, event_of, match_of, suppressed_by, with_suppressed
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
        self._kibana = Kibana(self.settings, self.clock) if self.settings.kibana else None

    async def close(self) -> None:
        """See ``BaseWorker``."""
        await self._client.close()
        if self._kibana:
            await self._kibana.close()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """See ``SearchDetector``."""
        question = asked(request, alerts_index=self.settings.alerts_index, index=self.settings.index)
        reply = await self._client.search(question.call)
        answer = reply.json()
        rows, gaps = rows_of(answer, question), gaps_in(answer)
        records = with_suppressed(rows.records) if request.ask is Ask.ALERT else rows.records
        marks = {"asked": request.ask, **_credit(request)}
        return SearchAnswer(
            records=[record | marks for record in records],
            complete=rows.whole and not gaps,
            reason=Reason.BACKEND_PARTIAL_ANSWER if gaps else None,
            query_sent=question.words,
            messages=gaps,
            clock_offset=reply.clock_offset,
        )

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        """See ``SearchDetector``."""
        match record["asked"]:
            case Ask.ALERT:
                alert = alert_of(record, kibana=self.settings.kibana)
                return suppressed_by(alert, record) if record.get("suppressed") else alert
            case Ask.RULE:
                return match_of(record)
        return event_of(record)

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        """See ``SearchDetector``."""
        return literal(values, language_of(language), within=quoted)

    def convert(self, sigma: str | dict[str, Any]) -> str:
        """See ``SearchDetector``: as EQL."""
        return converted(sigma, "checking_plugin_elastic.sigma:to_eql", index=self.settings.index)

    async def rules(self) -> Sequence[Rule] | None:
        """See ``SearchDetector``: what Kibana tells, where its address is set and it lets us see the rules."""
        try:
            return await self._kibana.rules() if self._kibana else None
        except BackendAuthFailedError:
            return None  # an account that may only search is as little as a detector needs

    async def self_check(self) -> Health:
        """See ``BaseWorker``."""
        return await Checkup(self.settings, self._client, self._kibana, self.clock()).health()


def _credit(request: SearchRequest) -> dict[str, Any]:
    """The Sigma rule behind a query, if there is one."""
    if request.config.sigma is None or not is_converted(request):
        return {}
    from checking_core.plugin.sigma import credit_of, read_rule

    return {"sigma": credit_of(read_rule(request.config.sigma))}
