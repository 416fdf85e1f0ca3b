"""What one look is about, and the requests that follow from it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec

from checking_core.contracts import Ask, DetectionConfig, DetectionTask, ExecutionContext, Reason, timing_of
from checking_core.errors import DetectionError
from checking_core.matching.identity import Identity, identity_of
from checking_core.matching.question import Question, question_of
from checking_core.matching.window import Windows, windows_of
from checking_core.plugin.placeholders import Values, fill, is_scoped, values_of
from checking_core.plugin.search import SearchRequest
from checking_core.plugin.shelf import Need, widened

__all__ = ["Language", "Subject", "rungs", "subject_of"]

_LONGEST_SHARED = timedelta(minutes=5)


class Language(Protocol):
    """How a product's queries are written."""

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:
        """See ``SearchDetector``."""
        ...

    def convert(self, sigma: str | dict[str, Any]) -> str:
        """See ``SearchDetector``."""
        ...


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One look, worked out once for all its questions.

    ``doubt`` is why nothing that is not found proves anything, if so, and ``problems`` say it in words.
    """

    config: DetectionConfig
    identity: Identity
    windows: Windows
    values: Values
    need: Need
    timeout: float
    doubt: Reason | None = None
    problems: tuple[str, ...] = ()

    def question(self, ask: Ask) -> Question:
        """What a record has to be."""
        return question_of(ask, self.config, scoped=is_scoped(self._query(ask), self.config))

    def request(self, ask: Ask, language: Language, limit: int) -> SearchRequest:
        """The narrowest form of a question.

        Raises:
            QueryInvalidError: a placeholder cannot be filled in.
            FatalDetectionError: a Sigma rule cannot be converted.
        """
        section = getattr(self.config, ask)
        written = getattr(section, "language", None)
        query = self._query(ask)
        if query is not None:
            query = fill(query, self.values, _quoting(language, written))
        elif ask is Ask.RULE and self.config.sigma is not None:
            query = language.convert(self.config.sigma)
        return SearchRequest(
            ask=ask,
            query=query,
            language=written,
            index=getattr(section, "index", None),
            alert=self.config.alert if ask is Ask.ALERT else None,
            hosts=tuple(sorted(self.identity.host.names)),
            window=self.windows.alerts if ask is Ask.ALERT else self.windows.searched,
            limit=max(limit, self.config.max_results),
            timeout=self.timeout,
            config=self.config,
        )

    def _query(self, ask: Ask) -> str | None:
        return getattr(getattr(self.config, ask), "query", None)


def rungs(request: SearchRequest, now: datetime) -> list[SearchRequest]:
    """The request as it serves the most looks, then as narrow as it takes to see what this look needs."""
    wide = msgspec.structs.replace(request, window=widened(request.window, now), hosts=(), alert=None)
    if request.ask is not Ask.ALERT:
        return [wide, request]
    return [wide, msgspec.structs.replace(wide, hosts=request.hosts), request]


def subject_of(
    task: DetectionTask,
    config: DetectionConfig,
    context: ExecutionContext,
    *,
    now: datetime,
    share_for: float,
    unnamed: DetectionError | None = None,
) -> Subject:
    """Work out what a look is about.

    Args:
        task: the look.
        config: of its check.
        context: of its execution, with every name of the host.
        now: the present time.
        share_for: seconds for which any answer may serve other looks.
        unnamed: why the backend did not tell under which other names it knows the host.

    Raises:
        QueryInvalidError: the execution or what it is to be told by makes no sense.
    """
    timing = task.timing or timing_of(config)
    windows = windows_of(context, timing, now=now, activity=config.activity or 0.0)
    identity = identity_of(context, config, windows.lived)
    doubt, problems = _doubts(windows, unnamed)
    return Subject(
        config=config,
        identity=identity,
        windows=windows,
        values=values_of(context, identity, windows, config),
        need=_need(task, now - windows.run.end, min(share_for, timing.poll_interval)),
        timeout=timing.timeout,
        doubt=doubt,
        problems=problems,
    )


def _doubts(windows: Windows, unnamed: DetectionError | None) -> tuple[Reason | None, tuple[str, ...]]:
    problems = []
    doubt = None
    if unnamed is not None:
        doubt = Reason(unnamed.reason)
        problems.append(f"the host's other names are not known: {type(unnamed).__name__}: {unnamed}")
    if windows.astray is not None:
        doubt, off = Reason.CLOCK_ASTRAY, round(windows.astray.total_seconds())
        problems.append(f"the host's clock is {off} s off, more than is allowed for: correct it")
    return doubt, tuple(problems)


def _need(task: DetectionTask, since_end: timedelta, share_for: float) -> Need:
    """A look that may prove a no needs an answer of its own time; for any other, one that is not much older than the
    trace can be will do: the later the look, the older.
    """
    shortest = timedelta(seconds=share_for)
    if task.deadline_passed or task.deadline is None:
        return Need(within=shortest, since=task.deadline)
    return Need(within=min(max(shortest, since_end / 2), _LONGEST_SHARED))


def _quoting(language: Language, written: str | None) -> Any:
    def quote(values: tuple[str, ...], *, quoted: bool) -> str:
        return language.quote(values, written, quoted=quoted)

    return quote
