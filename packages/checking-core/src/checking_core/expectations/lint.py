"""What is wrong with expectations, all of it at once, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path as FilePath
from typing import Any, TypeAlias

from checking_core.contracts import Ask, Expect
from checking_core.contracts.placeholder import (
    PLACEHOLDER,
    PLACEHOLDERS,
    PLAIN_STRINGS,
    UnclearQuotesError,
    strings_in,
)
from checking_core.contracts.technique import current_technique
from checking_core.expectations.document import Path
from checking_core.expectations.load import Written, read, unknown_backends
from checking_core.expectations.problem import LintCode, LintMessage
from checking_core.expectations.queries import own_time_range, scope_problem

__all__ = ["ANSWERED_BY", "RuleProblem", "lint"]

RuleProblem: TypeAlias = Callable[[str | dict[str, Any]], str | None]
"""What is wrong with a Sigma rule that a check names or brings, in words."""
_SEARCHES: tuple[Path, ...] = (("rule",), ("telemetry",), ("alive",))
_BARE: tuple[Path, ...] = (("query",), ("command",))
"""The original form: the search itself at the top."""
ANSWERED_BY: Mapping[Expect, tuple[frozenset[Ask], str, str]] = {
    Expect.ALERTED: (
        frozenset({Ask.ALERT}),
        "a search proves no alert",
        "add alert: {rule: ...}, or expect matched or logged",
    ),
    Expect.MATCHED: (frozenset({Ask.ALERT, Ask.RULE}), "no detection is asked for", "add rule, sigma or alert"),
    Expect.SILENT: (
        frozenset({Ask.ALERT, Ask.RULE}),
        "no detection is asked for",
        "add the alert or rule that must not fire",
    ),
    Expect.LOGGED: (
        frozenset({Ask.ALERT, Ask.RULE, Ask.TELEMETRY}),
        "no trace is asked for",
        "add telemetry: {query: ...}",
    ),
}
"""Without one of these questions an expectation is never met; the problem, and what to do."""


def lint(
    paths: Sequence[FilePath],
    backends: Collection[str],
    *,
    plugin_keys: Collection[str] = (),
    languages: Mapping[str, str] | None = None,
    rule_problems: Mapping[str, RuleProblem] | None = None,
    answers: Mapping[str, AbstractSet[Ask]] | None = None,
) -> list[LintMessage]:
    """Every problem of some files, by file and line. Nothing stops at the first.

    Args:
        paths: files and folders, as for ``load``.
        backends: names of the configured backends.
        plugin_keys: as for ``load``.
        languages: by backend, the language of a query that names none, as far as it is known.
        rule_problems: by backend, what is wrong with a Sigma rule, for those that know rules by more than their path.
        answers: by backend, the questions that it can answer, as far as they are known.
    """
    reading = read(paths, plugin_keys=plugin_keys)
    found = list(reading.problems)
    for written in reading.written:
        found.extend(unknown_backends(written, backends))
        found.extend(_scopes(written, languages or {}))
        found.extend(_sigma(written, rule_problems or {}))
        found.extend(_unanswered(written, answers or {}))
        for rule in _RULES:
            found.extend(rule(written))
    return sorted(dict.fromkeys(found), key=lambda message: (message.file, message.line))


def _queries(written: Written) -> Iterator[LintMessage]:
    for keys in (*_BARE, *((*search, "query") for search in (*_SEARCHES, ("alert",)))):
        text, name, place = _text(written.data, keys), ".".join(map(str, keys)), (*written.path, *keys)
        if words := own_time_range(text):
            remedy = "remove it: the check's window is applied"
            yield written.message(place, LintCode.OWN_TIME_RANGE, f"{name}: chooses its own time ({words})", remedy)
        for unknown in dict.fromkeys(PLACEHOLDER.findall(text)):
            if unknown not in PLACEHOLDERS:
                near = get_close_matches(unknown, PLACEHOLDERS, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(PLACEHOLDERS)}"
                problem = f"{name}: ${{{unknown[:50]}}} stands for nothing"
                yield written.message(place, LintCode.UNKNOWN_PLACEHOLDER, problem, remedy)
        if unclear := _unclear_quotes(text):
            yield written.message(place, LintCode.UNCLEAR_QUOTES, f"{name}: {unclear}", PLAIN_STRINGS)


def _unclear_quotes(query: str) -> str | None:
    try:
        strings_in(query)
    except UnclearQuotesError as error:
        return str(error) if PLACEHOLDER.search(query) else None
    return None


def _scopes(written: Written, languages: Mapping[str, str]) -> Iterator[LintMessage]:
    """Every search by the language it names; where it names none by the backends', if they agree."""
    told = {languages.get(backend, "") for backend in written.expectation.backends}
    usual = next(iter(told)) if len(told) == 1 else ""
    places = [((*search, "query"), (*search, "language"), (*search, "index")) for search in _SEARCHES]
    for query, language, index in [*places, (("query",), ("query_language",), ())]:
        if not (text := _text(written.data, query)):
            continue
        known = _text(written.data, language) or usual
        if problem := scope_problem(text, language=known, index=_text(written.data, index) or None):
            place = (*written.path, *query)
            remedy = "name the index where this is logged"
            yield written.message(place, LintCode.NO_SCOPE, f"{'.'.join(map(str, query))}: {problem}", remedy)


def _unanswerable(written: Written) -> Iterator[LintMessage]:
    """What is wanted can neither come true nor be missed by the questions that are asked."""
    question = written.expectation.question
    asks, problem, remedy = ANSWERED_BY.get(question.wanted, (question.asks, "", ""))
    if asks.isdisjoint(question.asks):
        message = f"expect: {question.wanted} is never decided: {problem}"
        yield written.message((*written.path, "expect"), LintCode.NOT_ASKED, message, remedy)


def _unanswered(written: Written, answers: Mapping[str, AbstractSet[Ask]]) -> Iterator[LintMessage]:
    """A check that asks a backend for one thing too many is not applicable as a whole."""
    asks = written.expectation.question.asks
    for backend in written.expectation.backends:
        if missing := sorted(asks - answers.get(backend, asks)):
            problem = f"{backend} cannot answer {', '.join(missing)}: each of its checks would be not_applicable"
            remedy = "ask another backend for that, in an expectation of its own"
            yield written.message((*written.path, missing[0]), LintCode.NOT_ANSWERED, problem, remedy)


def _without_alive(written: Written) -> Iterator[LintMessage]:
    asks = written.expectation.question.asks
    if Ask.TELEMETRY in asks and Ask.ALIVE not in asks:
        problem = "telemetry: without alive a trace that is missing stays inconclusive, never none"
        remedy = "add alive: {query: ...} that always finds something of this source"
        yield written.message((*written.path, "telemetry"), LintCode.NO_ALIVE, problem, remedy)


def _renamed(written: Written) -> Iterator[LintMessage]:
    for keys in (("when", "technique"), ("alert", "techniques")):
        for place, technique in _listed(written.data, keys):
            now = current_technique(technique)
            if now != technique.strip().upper():
                problem = f"{'.'.join(keys)}: {technique} is called {now} today"
                path = (*written.path, *place)
                yield written.message(path, LintCode.RENAMED_TECHNIQUE, problem, f"write {now}; both are found")


def _sigma(written: Written, rule_problems: Mapping[str, RuleProblem]) -> Iterator[LintMessage]:
    """A rule that is not there cannot be asked. Where a backend does not say itself which there are, it is a file."""
    rule, place = written.data.get("sigma"), (*written.path, "sigma")
    if not rule:
        return
    backends = written.expectation.backends
    for backend in backends:
        if backend in rule_problems and (problem := rule_problems[backend](rule)):
            remedy = "correct the rule or what names it"
            yield written.message(place, LintCode.NOT_CONVERTIBLE, f"sigma: {backend}: {problem}", remedy)
    name = rule if isinstance(rule, str) and not rule_problems.keys() >= set(backends) else ""
    if name and not any(_is_file(folder / name) for folder in (FilePath(), FilePath(written.document.file).parent)):
        problem = f"sigma: {name} is no file, seen from here or from the folder of the expectations"
        yield written.message(place, LintCode.NOT_CONVERTIBLE, problem, "correct the path")


def _too_wide(written: Written) -> Iterator[LintMessage]:
    """A condition that holds for whatever was run."""
    for keys, holds_for_all in ((("when", "command"), _finds_nothing_too), (("when", "procedure"), _is_stars)):
        for place, text in _listed(written.data, keys):
            if holds_for_all(text):
                problem = f"{'.'.join(keys)}: {text!r} holds for everything that was run"
                path = (*written.path, *place)
                yield written.message(path, LintCode.MATCHES_TOO_MUCH, problem, "write what is special about it")


_RULES: Sequence[Callable[[Written], Iterator[LintMessage]]] = (
    _queries,
    _unanswerable,
    _without_alive,
    _renamed,
    _too_wide,
)


def _finds_nothing_too(pattern: str) -> bool:
    return re.search(pattern, "") is not None


def _is_stars(glob: str) -> bool:
    return not glob.strip("*")


def _is_file(path: FilePath) -> bool:
    with suppress(OSError):  # a name that is too long for one, for example
        return path.is_file()
    return False


def _value(data: Any, keys: Path) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _text(data: Any, keys: Path) -> str:
    found = _value(data, keys) if keys else None
    return found if isinstance(found, str) else ""


def _listed(data: Any, keys: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    """The texts of a key that has one or several, each with its place."""
    found = _value(data, keys)
    if isinstance(found, str):
        yield keys, found
    elif isinstance(found, list):
        for index, text in enumerate(found):
            if isinstance(text, str):
                yield (*keys, index), text
