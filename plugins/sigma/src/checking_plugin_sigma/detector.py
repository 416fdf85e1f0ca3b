"""The detector: rules of ours over telemetry in files. A hit of them is a match, never an alert."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
import yaml

from checking_core import (
    Answer,
    Ask,
    BackendUnreachableError,
    CheckingError,
    DetectionConfig,
    DetectionTask,
    Event,
    Finding,
    Health,
    Match,
    QueryInvalidError,
    SearchAnswer,
    SearchDetector,
    SearchRequest,
)
from checking_core.errors import ConfigurationError
from checking_core.plugin.subject import Subject
from checking_plugin_sigma.evaluate.actions import actions_of
from checking_plugin_sigma.evidence import match_of, record_of
from checking_plugin_sigma.rules.cache import RuleCache
from checking_plugin_sigma.rules.model import RuleSet
from checking_plugin_sigma.rules.question import Library, is_words
from checking_plugin_sigma.settings import SigmaConfig, SigmaSettings
from checking_plugin_sigma.silence import Silence, silence_of
from checking_plugin_sigma.telemetry import Telemetry, shifted

__all__ = ["SigmaDetector"]

S = TypeVar("S")
T = TypeVar("T")


class SigmaDetector(SearchDetector):
    """Evaluates Sigma rules over files.

    Searches run one after the other in a thread of their own. One that outlasts its look goes on: what it has read
    is there for the next look.
    """

    platform = "sigma"
    detection_types = frozenset({"api", "windows", "linux", "darwin"})
    answers = frozenset({Ask.RULE, Ask.TELEMETRY, Ask.ALIVE})
    Settings, Config = SigmaSettings, SigmaConfig
    settings: SigmaSettings
    records_per_search = 2_000

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        own = self.settings
        named = {pattern: told.logsource for pattern, told in own.logsources.items()}
        self._telemetry = Telemetry(own.events, named, own.time_zone)
        self._library = Library(own.rules, RuleCache(own.cache), own.placeholders)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sigma {self.backend}")

    async def close(self) -> None:
        """See ``BaseWorker``."""
        self._telemetry.stop()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def self_check(self) -> Health:
        """See ``BaseWorker``."""
        if not self.settings.events:
            return Health(ok=None, detail="CHECKING_SIGMA_EVENTS names no telemetry")
        try:
            files, rules = self._telemetry.files(), self._library.all()
        except CheckingError as error:
            return Health(ok=False, detail=str(error))
        detail = f"{len(files)} files of telemetry, {len(rules.rules)} rules, {len(rules.refused)} refused"
        return Health(ok=True, detail=detail)

    async def detect(self, task: DetectionTask) -> Finding:
        """See ``BaseWorker``. A rule that had nothing to look at was not silent, whatever another question found."""
        task = self._dated(task)
        found = await super().detect(task)
        silent = [ask for ask in _EVALUATED if getattr(found, ask) is Answer.NO]
        if not silent:
            return found
        subject = await self._subject(task)
        silences = await self._run(partial(self._silences, silent), subject)
        if not silences:
            return found
        unknown: dict[str, Any] = dict.fromkeys(silences, Answer.UNKNOWN)
        words = tuple(f"{ask}: {silence.words}" for ask, silence in silences.items())
        reason = next(iter(silences.values())).reason
        return msgspec.structs.replace(
            found, complete=False, reason=reason, warnings=(*found.warnings, *words), **unknown
        )

    def _dated(self, task: DetectionTask) -> DetectionTask:
        """A replayed recording is dated by the execution, so that no other execution may share an answer about it."""
        config = SigmaConfig.model_validate(task.detection_config)
        own = self.settings
        if not (own.replay or own.replay_onto is not None if config.replay is None else config.replay):
            return task
        context = task.execution_context
        begun = context.started_at or context.started_at_least or context.agent_reported_time or self.clock()
        onto = config.replay_onto or own.replay_onto or begun
        dated = {**task.detection_config, "replay": True, "replay_onto": onto.isoformat()}
        return msgspec.structs.replace(task, detection_config=dated)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """See ``SearchDetector``."""
        return await self._run(self._evaluated, request)

    def normalise(self, record: Mapping[str, Any]) -> Match | Event:
        """See ``SearchDetector``."""
        return match_of(record)

    def convert(self, sigma: str | dict[str, Any]) -> str:
        """See ``SearchDetector``: a rule is a query as it stands."""
        text = sigma if isinstance(sigma, str) else yaml.safe_dump(sigma, allow_unicode=True, sort_keys=False)
        if is_words(text):
            raise QueryInvalidError("sigma names a rule or holds one; words to look for belong in rule: {query: ...}")
        return text

    def rule_problem(self, sigma: str | dict[str, Any]) -> str | None:
        """See ``KnowsRules``."""
        try:
            self._library.meant(self.convert(sigma))
        except CheckingError as error:
            return str(error)
        return None

    def quote(self, values: tuple[str, ...], language: str | None, *, quoted: bool) -> str:  # noqa: ARG002
        """Values as YAML, without any wildcard in them."""
        if quoted:
            raise QueryInvalidError("a placeholder in a Sigma query brings its own quotes; take away those around it")
        literals = [_literal(_WILDCARD.sub(r"\\\g<0>", value)) for value in values]
        return literals[0] if len(literals) == 1 else f"[{', '.join(literals)}]"

    async def _run(self, work: Callable[[S], T], subject: S) -> T:
        """Off the event loop. What is set up wrongly may be mended while the check waits, as with any backend."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, subject)
        except ConfigurationError as error:
            raise BackendUnreachableError(str(error)) from error

    def _evaluated(self, request: SearchRequest) -> SearchAnswer:
        asked, words = self._asked(request.query)
        rules, files = asked.rules, _files(request.config)
        shift = self._shift(request.config)
        window = shifted(request.window, shift or timedelta(0))
        found = actions_of(self._telemetry.hits(rules, files), self._telemetry.moment)
        records = [
            record_of(action, request.ask, moment, shift)
            for action in found
            if (moment := self._telemetry.moment(action[0])) is None or window.holds(moment)
        ]
        problems = self._telemetry.problems(rules, files)
        return SearchAnswer(
            records=records,
            complete=len(records) <= request.limit and not problems,
            query_sent=f"Sigma over {len(self._telemetry.files(files))} files{_replayed(shift)}: {words}",
            messages=tuple(problems),
        )

    def _asked(self, query: str | None) -> tuple[RuleSet, str]:
        """The rules of a question, and the question in words."""
        found = self._library.all() if query is None else self._library.meant(query)
        if query is None:
            return found, f"{len(found.rules)} rules, {len(found.refused)} refused"
        refused = f"; {len(found.refused)} refused" if found.refused else ""
        return found, "; ".join(f"{rule.title} ({rule.about})" for rule in found.rules) + refused

    def _shift(self, config: DetectionConfig) -> timedelta | None:
        """From the first event of the recording to the moment that it is replayed onto."""
        onto = config.replay_onto if isinstance(config, SigmaConfig) else None
        first = self._telemetry.reported(None, _files(config)).first if onto else None
        return onto - first if onto is not None and first is not None else None

    def _silences(self, asked: Sequence[Ask], subject: Subject) -> dict[Ask, Silence]:
        """Of these questions those whose rules could not have hit anything, and why."""
        reported = self._telemetry.reported(subject.identity.host, _files(subject.config))
        window = shifted(subject.windows.accepted, self._shift(subject.config) or timedelta(0))
        found: dict[Ask, Silence] = {}
        for ask in asked:
            query = subject.request(ask, self, 1).query
            silence = silence_of(reported, self._asked(query)[0], window, observes=query is None)
            found |= {ask: silence} if silence else {}
        return found


def _files(config: DetectionConfig) -> str | None:
    return config.files if isinstance(config, SigmaConfig) else None


def _replayed(shift: timedelta | None) -> str:
    return "" if shift is None else f", recorded {timedelta(seconds=round(shift.total_seconds()))} earlier"


_EVALUATED = (Ask.RULE, Ask.TELEMETRY)
_WILDCARD = re.compile(r"[*?\\]")


def _literal(text: str) -> str:
    """A text as YAML reads it in any context: what is not plain is written as its number."""
    plain = (one if " " <= one <= "~" and one not in '"\\' else f"\\U{ord(one):08X}" for one in text)
    return f'"{"".join(plain)}"'
