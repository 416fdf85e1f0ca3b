"""Executions to checks: what is asked of whom for each thing the red team did. Pure.

The rules in words: docs/reference/expectations.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from pydantic import ValidationError

from checking_core.contracts import (
    Closed,
    DetectionConfig,
    ExecutionFacts,
    Expect,
    Hint,
    OperationFacts,
    Outcome,
    PlannedCheck,
    Reason,
    RunState,
    canonical_config,
    check_id_of,
    config_digest,
    config_problem,
    execution_id_of,
    timing_of,
)
from checking_core.contracts.text import BACKEND_NAME
from checking_core.expectations.load import Expectation, Expectations
from checking_core.expectations.when import Subject, platform_of, subject_of
from checking_core.settings import BackendSettings, HintsMode

__all__ = ["UNASSIGNED", "plan"]

UNASSIGNED = "unassigned"
"""Stands for the backend of a hint that names none that could be asked."""

_SYSTEMS = frozenset({"windows", "linux", "darwin"})
_DETECTION_TYPES = ("api", *sorted(_SYSTEMS))


class _Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A check before its id, its times and its closing are known.

    ``problem`` says why it cannot be asked; ``lists`` that it is asked once, when all there is can be listed.
    """

    name: str
    backend: str
    config: dict[str, Any]
    question: DetectionConfig
    expectation_id: str | None = None
    detection_type: str | None = None
    max_retries: int | None = None
    problem: str | None = None
    lists: bool = False


def plan(
    execution: ExecutionFacts,
    operation: OperationFacts,
    expectations: Expectations,
    *,
    backends: Mapping[str, BackendSettings],
    hints: HintsMode,
    default_backend: str | None,
    max_retries: int,
) -> tuple[PlannedCheck, ...]:
    """The checks of one execution, each id once. The same input gives the same checks.

    A cleanup link has none. An execution that never ran has those it would have had, closed as ``not_run``.

    Args:
        execution: as its message tells it.
        operation: to which it belongs.
        expectations: as loaded.
        backends: the configured ones, by name.
        hints: when the hints of the message count.
        default_backend: for hints that name no platform.
        max_retries: where neither expectation nor hint says.
    """
    if execution.cleanup:
        return ()
    subject = subject_of(execution, operation, expectations.renamed)
    drafts = list(_expected(subject, expectations.items))
    drafts += _hinted(execution.hints, hints, default_backend, {draft.backend for draft in drafts})
    if execution.run_state is not RunState.NEVER_RAN and all(draft.problem for draft in drafts):
        drafts += _observers(subject.platform, backends)
    execution_id = execution_id_of(operation.operation_id, execution.link_id)
    checks: dict[UUID, PlannedCheck] = {}
    for draft in drafts:
        check = _check(draft, execution, execution_id, backends.get(draft.backend), max_retries)
        known = checks.get(check.id)
        if known is None or (known.closed is not None and check.closed is None):
            checks[check.id] = check
    return tuple(checks.values())


def _expected(subject: Subject, items: Sequence[Expectation]) -> Iterator[_Draft]:
    """Of the expectations that speak of this execution, for each backend the most specific."""
    best: dict[str, list[Expectation]] = {}
    for item in items:
        if not item.condition.holds(subject):
            continue
        rank = item.condition.specificity
        for backend in item.backends:
            rivals = best.get(backend)
            if rivals is None or rank > rivals[0].condition.specificity:
                best[backend] = [item]
            elif rank == rivals[0].condition.specificity:
                rivals.append(item)
    for backend, winners in best.items():
        for item in winners:
            yield _Draft(
                name=item.id,
                backend=backend,
                config=item.config,
                question=item.question,
                expectation_id=item.id,
                max_retries=item.max_retries,
            )


def _hinted(hints: Sequence[Hint], mode: HintsMode, default_backend: str | None, covered: set[str]) -> Iterator[_Draft]:
    """The hints that count: a backend with an expectation needs none, unless hints always count."""
    if mode is HintsMode.NEVER:
        return
    for hint in hints:
        draft = _of_hint(hint, default_backend)
        if mode is HintsMode.ALWAYS or draft.backend not in covered:
            yield draft


def _of_hint(hint: Hint, default_backend: str | None) -> _Draft:
    config = canonical_config(hint.config)
    backend, backend_problem = _backend_of(hint.platform, default_backend)
    kind, kind_problem = _kind_of(hint.detection_type)
    question, question_problem = _question_of(config)
    problem = hint.problem or backend_problem or kind_problem or question_problem
    return _Draft(
        name=config_digest({"config": config, "problem": problem} if problem else config),
        backend=backend,
        config=config,
        question=question,
        detection_type=kind,
        max_retries=hint.max_retries,
        problem=problem,
    )


def _backend_of(platform: str | None, default_backend: str | None) -> tuple[str, str | None]:
    """A name that is not configured is a backend all the same: that nobody serves it is found out later."""
    name = ((platform or "").strip() or default_backend or "").lower()
    if re.fullmatch(BACKEND_NAME, name):
        return name, None
    if name:
        return UNASSIGNED, "detection_platform: is no backend's name; use at most 40 of a-z, 0-9, _ and -"
    return UNASSIGNED, "detection_platform: is missing; give one, or set CHECKING_DEFAULT_BACKEND"


def _kind_of(detection_type: str | None) -> tuple[str | None, str | None]:
    kind = (detection_type or "").strip().lower()
    if not kind or kind in _DETECTION_TYPES:
        return kind or None, None
    return None, f"detection_type: is not known; use one of {', '.join(_DETECTION_TYPES)}"


def _question_of(config: dict[str, Any]) -> tuple[DetectionConfig, str | None]:
    try:
        return DetectionConfig.model_validate(config), None
    except ValidationError:
        return DetectionConfig(), config_problem(config)


def _observers(platform: str, backends: Mapping[str, BackendSettings]) -> Iterator[_Draft]:
    """What nothing speaks of is looked at where that is wanted, so that no operation ends in an empty report."""
    question = DetectionConfig(expect=Expect.OBSERVE)
    config = {"expect": Expect.OBSERVE.value}
    for name in sorted(backends):
        if backends[name].observe and not _is_other_system(backends[name].detection_type, platform):
            yield _Draft(name=config_digest(config), backend=name, config=config, question=question, lists=True)


def _check(
    draft: _Draft, execution: ExecutionFacts, execution_id: UUID, settings: BackendSettings | None, max_retries: int
) -> PlannedCheck:
    kind = draft.detection_type or (settings.detection_type if settings else "api")
    timing = timing_of(draft.question, settings.timing if settings else None)
    return PlannedCheck(
        id=check_id_of(execution_id, draft.backend, draft.name),
        expectation_id=draft.expectation_id,
        detection_type=kind,
        backend=draft.backend,
        config=draft.config,
        expect=draft.question.wanted,
        max_retries=max_retries if draft.max_retries is None else draft.max_retries,
        timing=msgspec.structs.replace(timing, settle=timing.deadline) if draft.lists else timing,
        closed=_closed(draft, kind, execution),
    )


def _closed(draft: _Draft, kind: str, execution: ExecutionFacts) -> Closed | None:
    if execution.run_state is RunState.NEVER_RAN:
        return Closed(outcome=Outcome.NOT_RUN, reason=Reason.EXECUTION_SKIPPED)
    if draft.problem:
        return Closed(outcome=Outcome.INCONCLUSIVE, reason=Reason.QUERY_INVALID, note=draft.problem)
    if _is_other_system(kind, platform_of(execution.platform)):
        return Closed(outcome=Outcome.NOT_APPLICABLE, reason=Reason.OTHER_OS)
    return None


def _is_other_system(kind: str, platform: str) -> bool:
    return kind in _SYSTEMS and platform in _SYSTEMS and kind != platform
