"""The template of every detector that searches: the plugin asks and translates, core does everything else."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from checking_core.contracts import Answer, Ask, DetectionTask, Reason
from checking_core.contracts.detection_config import AlertQuestion
from checking_core.errors import BackendUnreachableError, DetectionError, FatalDetectionError
from checking_core.matching.identity import Identity
from checking_core.matching.question import Question, same_name
from checking_core.matching.record import AnyRecord
from checking_core.matching.sift import Sifted, sift
from checking_core.matching.window import Window
from checking_core.plugin.assemble import Answered, assemble
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.breaker import CircuitBreaker
from checking_core.plugin.budget import Budget, SearchSettings
from checking_core.plugin.finding import Finding
from checking_core.plugin.reply import Reply, reply_to
from checking_core.plugin.search import Rule, SearchAnswer, SearchRequest
from checking_core.plugin.shared import Remembered, contained
from checking_core.plugin.shelf import Need, Shelf
from checking_core.plugin.subject import Subject, rungs, subject_of

__all__ = ["SearchDetector"]

T = TypeVar("T")

_ORDER = (Ask.ALERT, Ask.RULE, Ask.TELEMETRY, Ask.ALIVE)
_KEEP_NAMES, _KEEP_RULES = timedelta(minutes=10), timedelta(minutes=1)
_NAMES_TIMEOUT = 30.0
_ANYWHERE: AbstractAsyncContextManager[None] = nullcontext()
_OLDER_CONTROL = timedelta(hours=1)
"""What happened before the operation changes no more."""


class SearchDetector(BaseWorker):
    """A backend that is searched. A subclass writes ``search``, ``normalise`` and, for placeholders, ``quote``.

    Core keeps the windows, fills in placeholders, shares one search among many looks, holds the rate, spares a backend
    that is away, tells the records apart, asks the control window, and writes evidence, near misses and times.
    """

    default_language: ClassVar[str | None] = None
    """Language of a query that names none, such as ``spl``; lint judges queries by it."""
    searches_at_once: ClassVar[int | None] = 4
    """Searches at a time that the product tolerates, if ``max_concurrent`` of its settings does not say;
    ``None``: any number."""
    searches_per_minute: ClassVar[float | None] = None
    """Searches a minute that it tolerates, if ``max_per_minute`` does not say; ``None``: any number."""
    records_per_search: ClassVar[int] = 1000
    """Records that a search is asked for: one that serves many looks finds more than one of them needs."""
    share_for: ClassVar[float] = 15.0
    """Seconds for which an answer may serve other looks; a look that need not prove a no takes older ones too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        limits = self.settings if isinstance(self.settings, SearchSettings) else SearchSettings.model_construct()
        self._budget = Budget(
            limits.max_concurrent or self.searches_at_once, limits.max_per_minute or self.searches_per_minute
        )
        self._breaker = CircuitBreaker(self.clock)
        self._shelf = Shelf(self._searched, self.clock)
        self._names = Remembered(self._ask_names, self.clock, keep=_KEEP_NAMES)
        self._rules = Remembered(self._ask_rules, self.clock, keep=_KEEP_RULES)

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

        A field that is missing stays empty. ``LookupError``, ``TypeError``, ``ValueError`` and ``AttributeError`` say
        that the record has no id or makes no sense: it is left out, and the answer is incomplete.
        """

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002
        """Write hostile values as a literal of the query's language, or as a list of them; see ``Quote``."""
        raise FatalDetectionError(f"{self.platform} fills in no placeholders", reason=Reason.QUERY_INVALID)

    def convert(self, sigma: str | dict[str, Any]) -> str:  # noqa: ARG002
        """Write a Sigma rule, given as its path or as the rule itself, as a query of the product."""
        raise FatalDetectionError(f"{self.platform} converts no Sigma rules", reason=Reason.NOT_CONVERTIBLE)

    async def host_names(self, host: str) -> Sequence[str]:  # noqa: ARG002
        """Other names under which the backend may know a host. Asked again after a while."""
        return ()

    async def rules(self) -> Sequence[Rule] | None:
        """The rules that the product knows; ``None`` when it does not tell. Asked again after a while."""
        return None

    async def detect(self, task: DetectionTask) -> Finding:
        """See ``BaseWorker``."""
        subject = await self._subject(task)
        asked = subject.config.asks
        wanted = [ask for ask in _ORDER if ask in asked or (ask is Ask.ALERT and Ask.PREVENTION in asked)]
        asking = (contained(partial(self._answered, ask, subject)) for ask in wanted)
        outcomes = dict(zip(wanted, await asyncio.gather(*asking, return_exceptions=True), strict=True))
        errors = [outcome for outcome in outcomes.values() if isinstance(outcome, BaseException)]
        found = {ask: outcome for ask, outcome in outcomes.items() if isinstance(outcome, Answered)}
        hit = any(answered.answer is Answer.YES for ask, answered in found.items() if ask is not Ask.ALIVE)
        if errors and not hit:
            raise _worst(errors)
        reason, problems = await self._rule_problem(subject, found.get(Ask.ALERT))
        messages = (message for answered in found.values() for message in answered.messages)
        searched = subject.windows.alerts if Ask.ALERT in wanted else subject.windows.searched
        return assemble(
            {ask: found.get(ask) or _unanswered(outcomes[ask]) for ask in wanted},
            asked=asked,
            reason=reason,
            searched_from=searched.start,
            searched_to=searched.end,
            warnings=tuple(dict.fromkeys([*map(_words, errors), *problems, *subject.problems, *messages])),
        )

    async def _subject(self, task: DetectionTask) -> Subject:
        self._shelf.told(task.created_at)
        if task.deadline_passed and task.deadline is not None:
            self._shelf.told(task.deadline)
        context, unnamed = task.execution_context, None
        try:
            names = await self._names.get(context.agent_host)
        except DetectionError as error:  # what is found by the names that are known is found all the same
            names, unnamed = (), error
        context = msgspec.structs.replace(context, host_aliases=(*context.host_aliases, *names))
        return subject_of(
            task,
            self.Config.model_validate(task.detection_config),
            context,
            now=self.clock(),
            share_for=self.share_for,
            unnamed=unnamed,
        )

    async def _answered(self, ask: Ask, subject: Subject) -> Answered:
        request, question = subject.request(ask, self, self.records_per_search), subject.question(ask)
        reply, sifted = await self._sifted(request, question, subject.identity, subject.windows.accepted, subject.need)
        control = await self._control(request, question, subject, sifted)
        unchecked = control.reason is not None
        return Answered(
            sifted=sifted,
            stopping=self._stopping(ask, reply, request, subject),
            control=control.noise,
            unchecked=unchecked,
            complete=reply.complete and subject.doubt is None and not (unchecked and not sifted.firm),
            reason=subject.doubt or reply.reason or control.reason,
            query_sent=reply.query_sent,
            raw=reply.raw,
            messages=(*reply.messages, *control.messages),
            clock_offset=reply.clock_offset,
        )

    def _stopping(self, ask: Ask, reply: Reply, request: SearchRequest, subject: Subject) -> Sifted | None:
        """Every alert of the execution, if it is asked whether something was stopped."""
        if ask is not Ask.ALERT or Ask.PREVENTION not in subject.config.asks:
            return None
        question = msgspec.structs.replace(subject.question(Ask.PREVENTION), scoped=subject.question(ask).scoped)
        return sift(reply.candidates(request.window), question, subject.identity, subject.windows.accepted)

    async def _sifted(
        self, request: SearchRequest, question: Question, identity: Identity, accepted: Window, need: Need
    ) -> tuple[Reply, Sifted]:
        """Ask as broadly as serves others too, and more narrowly while there is more than a search can bring.

        What was found on the way stays: a backend that is asked for one host may know it by another name.
        """
        widest, *narrower = rungs(request, self.clock())
        reply = await self._shelf.reply(widest, request.window, need)
        sifted = sift(reply.candidates(request.window), question, identity, accepted)
        for rung in narrower:
            found = sifted.answer is Answer.YES
            if not reply.crowded or (found and question.ask is Ask.ALIVE):
                break
            try:
                reply = reply.narrowed(await self._shelf.reply(rung, request.window, need))
            except DetectionError as error:
                if not found:
                    raise
                return reply.warned(f"a narrower search failed: {_words(error)}"), sifted
            sifted = sift(reply.candidates(request.window), question, identity, accepted)
        return reply, sifted

    async def _control(self, request: SearchRequest, question: Question, subject: Subject, sifted: Sifted) -> _Control:
        """The same question about the time before the operation, where the matches could be the usual noise.

        What only observes lists what there is and concludes nothing from it.
        """
        wanted = subject.config.control
        weak = not sifted.firm and not question.observes
        if question.ask is Ask.ALIVE or not sifted.matched or not (weak if wanted is None else wanted):
            return _Control()
        window = subject.windows.control
        before = msgspec.structs.replace(request, window=window)
        loose = msgspec.structs.replace(subject.identity, pid=None, marker=None)
        try:
            reply, noise = await self._sifted(before, question, loose, window, Need(within=_OLDER_CONTROL))
        except DetectionError as error:
            return _Control(
                messages=(f"{question.ask}: the control window: {_words(error)}",), reason=_reason_of(error)
            )
        if noise.matched or (reply.complete and not noise.undecided):
            return _Control(noise)
        problem = f"{question.ask}: the control window was answered in part"
        return _Control(noise, (problem,), reply.reason or Reason.BACKEND_PARTIAL_ANSWER)

    async def _searched(self, request: SearchRequest) -> Reply:
        """One search, translated."""
        place = self._budget.place(request.timeout / 2)
        answer = await self._spared(partial(self.search, request), request.timeout, place)
        if not isinstance(answer, SearchAnswer):
            raise FatalDetectionError(f"search returned {type(answer).__name__} instead of SearchAnswer")
        return reply_to(request, answer, self.normalise)

    async def _ask_names(self, host: str) -> tuple[str, ...]:
        if type(self).host_names is SearchDetector.host_names:
            return ()
        return tuple(await self._spared(partial(self.host_names, host), _NAMES_TIMEOUT))

    async def _ask_rules(self, _: None) -> Sequence[Rule] | None:
        if type(self).rules is SearchDetector.rules:
            return None
        return await self._spared(self.rules, _NAMES_TIMEOUT)

    async def _spared(
        self, ask: Callable[[], Awaitable[T]], within: float, place: AbstractAsyncContextManager[None] = _ANYWHERE
    ) -> T:
        """Ask, unless the backend is known to be away."""
        self._breaker.check()
        async with place:
            began = self.clock()
            try:
                async with asyncio.timeout(within):
                    answer = await ask()
            except TimeoutError as error:
                self._breaker.failed()
                raise BackendUnreachableError(f"no answer within {within:g} s") from error
            except BackendUnreachableError:
                self._breaker.failed()
                raise
            except asyncio.CancelledError:  # nobody waits for it any more; whoever gave up early learnt nothing
                if self.clock() - began >= timedelta(seconds=within / 2):
                    self._breaker.failed()
                raise
            except DetectionError:
                self._breaker.answered()
                raise
        self._breaker.answered()
        return answer

    async def _rule_problem(self, subject: Subject, found: Answered | None) -> tuple[Reason | None, tuple[str, ...]]:
        """Why a rule that was named kept quiet, if it could not have done otherwise; and what kept us from knowing."""
        alert = subject.config.alert
        if alert is None or found is None or found.answer is not Answer.NO or not (alert.rule or alert.rule_id):
            return None, ()
        try:
            known = await self._rules.get(None)
        except DetectionError as error:
            return None, (f"the rules are not known: {_words(error)}",)
        if known is None:
            return None, ()
        meant = [rule for rule in known if _is_meant(rule, alert)]
        if not meant:
            return Reason.RULE_MISSING, ()
        return None if any(rule.enabled for rule in meant) else Reason.RULE_DISABLED, ()


class _Control(NamedTuple):
    """What the time before the operation told, and why that is not all, if so."""

    noise: Sifted | None = None
    messages: tuple[str, ...] = ()
    reason: Reason | None = None


def _is_meant(rule: Rule, alert: AlertQuestion) -> bool:
    wanted = (alert.rule_id, rule.id), (alert.rule, rule.name)
    return any(ours and same_name(ours, theirs) for ours, theirs in wanted)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _worst(errors: Sequence[BaseException]) -> BaseException:
    """What a person has to repair comes before what passes."""
    return min(
        errors, key=lambda error: (isinstance(error, DetectionError), not isinstance(error, FatalDetectionError))
    )


def _unanswered(error: object) -> Answered:
    return Answered(sifted=None, complete=False, reason=_reason_of(error))


def _reason_of(error: object) -> Reason | None:
    reason = getattr(error, "reason", None)
    return Reason(reason) if reason in set(Reason) else None
