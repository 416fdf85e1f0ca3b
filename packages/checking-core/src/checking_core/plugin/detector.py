"""The template of every detector that searches: the plugin asks and translates, core does everything else."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec
from aiolimiter import AsyncLimiter

from checking_core.contracts import Answer, Ask, DetectionConfig, DetectionTask, ExecutionContext, Reason, timing_of
from checking_core.errors import DetectionError, FatalDetectionError
from checking_core.matching.identity import Identity, identity_of
from checking_core.matching.record import Alert, AnyRecord
from checking_core.matching.sift import Question, Sifted, question_of, sift
from checking_core.matching.tiers import RANK
from checking_core.matching.window import Window, Windows, windows_of
from checking_core.plugin.assemble import WEAK, Answered, assemble
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.breaker import CircuitBreaker
from checking_core.plugin.finding import Finding
from checking_core.plugin.placeholders import HOST_PLACEHOLDERS, Values, fill, placeholders_in, values_of
from checking_core.plugin.search import Rule, SearchAnswer, SearchRequest
from checking_core.plugin.shelf import Kept, Shelf

__all__ = ["SearchDetector"]

_ORDER = (Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE)


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What one look is about, worked out once for all its questions."""

    task: DetectionTask
    config: DetectionConfig
    identity: Identity
    windows: Windows
    values: Values
    hosts: tuple[str, ...]
    begun_after: datetime


class SearchDetector(BaseWorker):
    """A backend that is searched. A subclass writes ``search``, ``normalise`` and, for placeholders, ``quote``.

    Core keeps the windows, fills in placeholders, shares one search among many looks, holds the rate, spares a backend
    that is away, tells the records apart, asks the control window, and writes evidence, near misses and times.
    """

    searches_per_minute: ClassVar[float | None] = None
    """Searches that the product tolerates; ``None``: any number."""
    share_for: ClassVar[float] = 15.0
    """Seconds for which an answer may serve other looks, as long as none of them has to prove a no."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._rate: AbstractAsyncContextManager[None] = (
            AsyncLimiter(self.searches_per_minute) if self.searches_per_minute else nullcontext()
        )
        self._breaker = CircuitBreaker(self.clock)
        self._shelf = Shelf(self._spared, self.clock)

    @abstractmethod
    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Ask the backend one question. May run many times at once.

        Raises:
            RetriableDetectionError: the same question may be answered in a moment.
            FatalDetectionError: asking again cannot help.
        """

    @abstractmethod
    def normalise(self, record: Mapping[str, Any]) -> AnyRecord:
        """Translate one record. What an alert store returned has to become an ``Alert``.

        A field that is missing stays empty; ``KeyError``, ``TypeError`` and ``ValueError`` say that the record has no
        id or makes no sense.
        """

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002
        """Write hostile values as a literal of the query's language, or as a list of them; see ``Quote``."""
        raise FatalDetectionError(f"{self.platform} fills in no placeholders", reason=Reason.QUERY_INVALID)

    async def host_names(self, host: str) -> Sequence[str]:  # noqa: ARG002
        """Other names under which the backend may know a host."""
        return ()

    async def rules(self) -> Sequence[Rule] | None:
        """The rules that the product knows; ``None`` when it does not tell."""
        return None

    async def detect(self, task: DetectionTask) -> Finding:
        """See ``BaseWorker``."""
        subject = await self._subject(task)
        asked = subject.config.asks
        wanted = [ask for ask in _ORDER if ask in asked or (ask is Ask.ALERT and Ask.PREVENTION in asked)]
        outcomes = await asyncio.gather(*(self._answered(ask, subject) for ask in wanted), return_exceptions=True)
        errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        found = {ask: outcome for ask, outcome in zip(wanted, outcomes, strict=True) if isinstance(outcome, Answered)}
        if errors and not any(answered.answer is Answer.YES for answered in found.values()):
            raise _worst(errors)
        warnings = [f"{type(error).__name__}: {error}" for error in errors]
        found |= {ask: _unanswered(error) for ask, error in zip(wanted, outcomes, strict=True) if ask not in found}
        return assemble(
            found,
            asked=asked,
            reason=await self._rule_problem(subject, found),
            searched_from=subject.windows.searched.start,
            searched_to=subject.windows.searched.end,
            warnings=(*warnings, *(message for answered in found.values() for message in answered.messages)),
        )

    async def _subject(self, task: DetectionTask) -> _Subject:
        config = self.Config.model_validate(task.detection_config)
        context = await self._with_aliases(task.execution_context)
        timing = task.timing or timing_of(config)
        windows = windows_of(context, timing, now=self.clock(), activity=config.activity or 0.0)
        identity = identity_of(context, config)
        begun_after = self.clock() - timedelta(seconds=min(self.share_for, timing.poll_interval))
        if task.deadline_passed and task.deadline is not None:
            begun_after = max(begun_after, min(task.deadline, self.clock()))
        return _Subject(
            task=task,
            config=config,
            identity=identity,
            windows=windows,
            values=values_of(context, identity, windows),
            hosts=tuple(sorted(identity.host.names)),
            begun_after=begun_after,
        )

    async def _with_aliases(self, context: ExecutionContext) -> ExecutionContext:
        told = tuple(await self.host_names(context.agent_host))
        return msgspec.structs.replace(context, host_aliases=(*context.host_aliases, *told)) if told else context

    async def _answered(self, ask: Ask, subject: _Subject) -> Answered:
        request = self._request(ask, subject)
        question = question_of(ask, subject.config, scoped=self._is_scoped(ask, subject))
        window = subject.windows.accepted
        kept = await self._shelf.answer(request, begun_after=subject.begun_after)
        sifted = self._sifted(kept, question, subject.identity, window)
        control = await self._control(request, question, subject, sifted)
        answer = kept.answer
        return Answered(
            sifted=sifted,
            control=control,
            complete=answer.complete,
            reason=answer.reason,
            query_sent=answer.query_sent or request.query,
            raw=answer.records,
            messages=answer.messages,
            clock_offset=answer.clock_offset,
        )

    def _request(self, ask: Ask, subject: _Subject) -> SearchRequest:
        config = subject.config
        section = getattr(config, ask)
        language = getattr(section, "language", None)
        query = section.query if section is not None else None
        filled = None if query is None else fill(query, subject.values, self._quoting(language))
        return SearchRequest(
            ask=ask,
            query=filled,
            language=language,
            index=getattr(section, "index", None),
            alert=config.alert if ask is Ask.ALERT else None,
            hosts=subject.hosts,
            window=subject.windows.searched,
            limit=config.max_results,
            config=config,
        )

    def _quoting(self, language: str | None) -> Any:
        def quote(values: tuple[str, ...], *, quoted: bool) -> str:
            return self.quote(values, language, quoted=quoted)

        return quote

    def _is_scoped(self, ask: Ask, subject: _Subject) -> bool:
        query = getattr(getattr(subject.config, ask), "query", None)
        return query is not None and not placeholders_in(query).isdisjoint(HOST_PLACEHOLDERS)

    async def _spared(self, request: SearchRequest) -> SearchAnswer:
        """One search within the rate, unless the backend is known to be away."""
        self._breaker.check()
        async with self._rate:
            try:
                answer = await self.search(request)
            except DetectionError as error:
                self._breaker.failed(error)
                raise
        self._breaker.answered()
        return answer

    def _sifted(self, kept: Kept, question: Question, identity: Identity, accepted: Window) -> Sifted:
        records = [self._translated(record, question.ask) for record in kept.answer.records]
        return sift(records, question, identity, accepted)

    def _translated(self, record: Mapping[str, Any], ask: Ask) -> AnyRecord:
        try:
            translated = self.normalise(record)
        except (KeyError, TypeError, ValueError) as error:
            raise FatalDetectionError(f"normalise cannot read a record: {type(error).__name__}: {error}") from error
        if ask is Ask.ALERT and not isinstance(translated, Alert):
            name = type(translated).__name__
            raise FatalDetectionError(f"normalise made {name} of what the alert store returned: only an Alert is one")
        return translated

    async def _control(
        self, request: SearchRequest, question: Question, subject: _Subject, sifted: Sifted
    ) -> Sifted | None:
        """The same question about the time before the operation, where the matches could be the usual noise."""
        wanted = subject.config.control
        weak = sifted.tier is not None and RANK[sifted.tier] >= WEAK
        if question.ask is Ask.ALIVE or not sifted.matched or not (weak if wanted is None else wanted):
            return None
        before = msgspec.structs.replace(request, window=subject.windows.control)
        kept = await self._shelf.answer(before, begun_after=subject.begun_after - timedelta(hours=1))
        loose = msgspec.structs.replace(subject.identity, pid=None, marker=None)
        return self._sifted(kept, question, loose, subject.windows.control)

    async def _rule_problem(self, subject: _Subject, found: Mapping[Ask, Answered]) -> Reason | None:
        """Why a rule that was named kept quiet, when it could not have done otherwise."""
        alert, answered = subject.config.alert, found.get(Ask.ALERT)
        if alert is None or answered is None or answered.answer is not Answer.NO or not (alert.rule or alert.rule_id):
            return None
        known = await self.rules()
        if known is None:
            return None
        meant = [rule for rule in known if alert.rule_id == rule.id or _same(alert.rule, rule.name)]
        if not meant:
            return Reason.RULE_MISSING
        return None if any(rule.enabled for rule in meant) else Reason.RULE_DISABLED


def _same(wanted: str | None, name: str) -> bool:
    return wanted is not None and wanted.strip().casefold() == name.strip().casefold()


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """What a person has to repair comes before what passes."""
    return min(
        errors, key=lambda error: (isinstance(error, DetectionError), not isinstance(error, FatalDetectionError))
    )


def _unanswered(error: object) -> Answered:
    reason = getattr(error, "reason", None)
    return Answered(sifted=None, complete=False, reason=Reason(reason) if reason in set(Reason) else None)
