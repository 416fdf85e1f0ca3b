"""The detector: notable events or fired alerts, and searches over everything that Splunk holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from checking_core import (
    Ask,
    BackendAuthFailedError,
    BackendPartialAnswerError,
    DetectionError,
    Health,
    QueryInvalidError,
    Reason,
    Rule,
    SearchAnswer,
    SearchDetector,
    SearchRequest,
)
from checking_core.matching.record import AnyRecord
from checking_core.matching.window import Window
from checking_core.plugin.conversion import converted
from checking_core.plugin.fields import moment_at
from checking_core.plugin.shared import Remembered
from checking_plugin_splunk.checkup import Checkup
from checking_plugin_splunk.client import SplunkClient
from checking_plugin_splunk.fired import FiredAlerts, FiredFound
from checking_plugin_splunk.jobs import Jobs
from checking_plugin_splunk.language import marked
from checking_plugin_splunk.queries import Asked, asked, eventcount, is_converted, newest
from checking_plugin_splunk.records import alert_of, event_of, fired_of, match_of
from checking_plugin_splunk.settings import AlertSource, SplunkConfig, SplunkSettings

__all__ = ["SplunkDetector"]

_KEEP_SOURCES = timedelta(minutes=5)
_KEEP_SAVED = timedelta(minutes=1)
_BACK = timedelta(days=7)
_MENTIONED_LAG = timedelta(minutes=1)


class _Doubt(NamedTuple):
    """Why a silence would prove nothing. A hit counts all the same."""

    reason: Reason
    words: str


class SplunkDetector(SearchDetector):
    """Asks one search head. A look that runs out of time deletes its job."""

    platform = "splunk"
    answers = frozenset(Ask)
    default_language = "spl"
    searches_at_once = 2
    Settings = SplunkSettings
    Config = SplunkConfig
    settings: SplunkSettings

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._client = SplunkClient(self.settings, self.clock)
        self._jobs = Jobs(self._client, self._sleep)
        self._fired = FiredAlerts(self._client, self._jobs)
        self._saved = Remembered(self._ask_saved, self.clock, keep=_KEEP_SAVED)
        self._indexes = Remembered(self._is_there, self.clock, keep=_KEEP_SOURCES)
        self._sources = Remembered(self._is_alive, self.clock, keep=_KEEP_SOURCES)

    async def close(self) -> None:
        """See ``BaseWorker``."""
        await self._client.close()

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """See ``SearchDetector``."""
        if request.ask is Ask.ALERT and self.settings.alert_source is AlertSource.FIRED:
            return await self._fired_alerts(request)
        question = asked(request, alerts_index=self.settings.alerts_index, index=self.settings.index)
        found = await self._jobs.run(question.search, request.window, most=question.most + 1, seconds=request.timeout)
        doubt = await self._doubt(request, question, found.rows)
        reason = Reason.BACKEND_PARTIAL_ANSWER if found.gaps else doubt and doubt.reason
        lag = () if request.ask is Ask.ALERT else _lag_of(found.rows)
        marks = {"asked": request.ask, **self._marks(request), **_credit(request)}
        return SearchAnswer(
            records=[{**marks, "row": _untimed(row, request.ask) if question.retimes else row} for row in found.rows],
            complete=len(found.rows) <= question.most and reason is None,
            reason=reason,
            query_sent=question.search,
            messages=(*found.gaps, *lag, *([doubt.words] if doubt else [])),
            clock_offset=found.clock_offset,
        )

    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        """See ``SearchDetector``."""
        row, blocked, web = record["row"], record["prevented_when"], self.settings.web_url
        if (fired := record.get("fired")) is not None:
            return fired_of(fired, row, record["number"], prevented_when=blocked, web=web)
        match record["asked"]:
            case Ask.ALERT:
                return alert_of(row, prevented_when=blocked, web=web)
            case Ask.RULE:
                return match_of(row, record.get("sigma"))
        return event_of(row)

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002
        """See ``SearchDetector``: how they are written depends on their command, so they are only marked here."""
        return marked(values)

    def convert(self, sigma: str | dict[str, Any]) -> str:
        """See ``SearchDetector``: as SPL."""
        return converted(sigma, "checking_plugin_splunk.sigma:to_spl", index=self.settings.index)

    async def rules(self) -> Sequence[Rule] | None:
        """See ``SearchDetector``: the saved searches, where alerts are what these fired."""
        return await self._saved.get(None) if self.settings.alert_source is AlertSource.FIRED else None

    async def self_check(self) -> Health:
        """See ``BaseWorker``."""
        return await Checkup(self.settings, self._client, self._jobs, self.clock()).health()

    async def _fired_alerts(self, request: SearchRequest) -> SearchAnswer:
        if request.query is not None:
            raise QueryInvalidError("fired alerts take no query; name the saved search as rule")
        found = await self._fired.results(request)
        doubt = await self._unseen(found)
        reason = Reason.BACKEND_PARTIAL_ANSWER if found.gaps else doubt and doubt.reason
        marks = self._marks(request)
        return SearchAnswer(
            records=[{**marks, "asked": Ask.ALERT, **one._asdict()} for one in found.results],
            complete=reason is None,
            reason=reason,
            query_sent="alerts/fired_alerts",
            messages=(*found.gaps, *([doubt.words] if doubt else [])),
            clock_offset=found.clock_offset,
        )

    async def _ask_saved(self, _: None) -> list[Rule]:
        return await self._fired.saved_searches()

    async def _unseen(self, found: FiredFound) -> _Doubt | None:
        """Whether the account may see no saved search: its list of fired alerts is then as empty as if none had fired.

        Raises:
            DetectionError: it may see none, or this cannot be told, and there are no results.
        """
        try:
            if not await self._saved.get(None):
                raise BackendAuthFailedError("this account may see no saved search, and so no alert that one has fired")
        except DetectionError as error:
            if not found.results:
                raise
            return _Doubt(Reason(error.reason), str(error))
        return None

    async def _doubt(self, request: SearchRequest, question: Asked, rows: Sequence[Mapping[str, Any]]) -> _Doubt | None:
        """What was not searched although it was meant; rows of one index tell nothing of another.

        Raises:
            DetectionError: there are no rows, and nothing is known without them.
        """
        try:
            await self._confirm(question)
            silent = await self._silent_source(request, question, rows)
        except DetectionError as error:
            if not rows:
                raise
            return _Doubt(Reason(error.reason), str(error))
        if silent is None:
            return None
        words = f"of what is searched there is no event of the last {_BACK.days} days: {silent}"
        return _Doubt(Reason.SOURCE_SILENT, words)

    async def _confirm(self, question: Asked) -> None:
        """A missing index, and one that the account may not search, are as silent as an empty one.

        Raises:
            QueryInvalidError: one of them was searched.
            BackendPartialAnswerError: this cannot be told, for a part of the data is away.
        """
        for name in question.indexes:
            if not await self._indexes.get(name):
                raise QueryInvalidError(f"the index {name} is not there, or not for this account")

    async def _silent_source(
        self, request: SearchRequest, question: Asked, rows: Sequence[Mapping[str, Any]]
    ) -> str | None:
        """A macro, a data model or a converted rule's source of which nothing is there: misnamed, or not collected."""
        for probe in (*question.probes, *([] if rows else self._probes_of_converted(request))):
            if not await self._sources.get(probe):
                return probe
        return None

    def _probes_of_converted(self, request: SearchRequest) -> list[str]:
        if not is_converted(request) or request.query is None:
            return []
        from checking_plugin_splunk.sigma import scope_of

        return [newest(self.settings.index or "", scope_of(request.query))]

    async def _is_alive(self, probe: str) -> bool:
        now = self.clock()
        return await self._has_rows(probe, Window(now - _BACK, now))

    async def _is_there(self, index: str) -> bool:
        now = self.clock()
        window = Window(now - timedelta(hours=1), now)  # counts all time, whatever the window
        return await self._has_rows(eventcount(index), window)

    async def _has_rows(self, search: str, window: Window) -> bool:
        found = await self._jobs.run(search, window, most=1, seconds=self.settings.timeout)
        if found.gaps and not found.rows:
            raise BackendPartialAnswerError("; ".join(found.gaps))
        return bool(found.rows)

    def _marks(self, request: SearchRequest) -> dict[str, Any]:
        config = request.config
        own = config.prevented_when if isinstance(config, SplunkConfig) else None
        return {"prevented_when": own or self.settings.prevented_when}


def _credit(request: SearchRequest) -> dict[str, Any]:
    """The Sigma rule behind a query, if there is one."""
    if request.config.sigma is None or not is_converted(request):
        return {}
    from checking_core.plugin.sigma import credit_of, read_rule

    return {"sigma": credit_of(read_rule(request.config.sigma))}


def _untimed(row: Mapping[str, Any], ask: Ask) -> Mapping[str, Any]:
    """A row without a time that is none of an event, unless it tells how long it spans."""
    if "_span" in row and ask is not Ask.ALERT:
        return row
    return {name: value for name, value in row.items() if name != "_time"}


def _lag_of(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The longest time from an event to its being stored, where that is worth a word."""
    times = ((moment_at(row, "_time"), moment_at(row, "_indextime")) for row in rows)
    lag = max((stored - at for at, stored in times if at and stored), default=timedelta(0))
    return (f"events were stored up to {lag.total_seconds():.0f} s late",) if lag > _MENTIONED_LAG else ()
