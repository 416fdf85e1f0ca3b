"""Which executions of an operation the expectations speak of: of none, or of more than their authors mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from checking_core.contracts import Ask, ExecutionFacts, Expect, OperationFacts
from checking_core.expectations.load import Expectation, Expectations
from checking_core.expectations.problem import LintCode, LintMessage
from checking_core.expectations.when import subject_of

__all__ = ["reach"]

_MANY = 5
"""Different procedures. So many may have one thing in common, but hardly one and the same trace."""
_NAMING = frozenset({Ask.RULE, Ask.TELEMETRY})
_MEANT_FOR_MANY = (Expect.OBSERVE, Expect.SILENT)


def reach(expectations: Expectations, executions: Sequence[tuple[ExecutionFacts, OperationFacts]]) -> list[LintMessage]:
    """What is odd about the executions that expectations speak of, by file and line.

    Args:
        expectations: as loaded.
        executions: of an operation, each with it; a cleanup is nobody's business.
    """
    ran = [(execution, operation) for execution, operation in executions if not execution.cleanup]
    if not ran:
        return []
    subjects = [(_procedure(facts), subject_of(facts, operation, expectations.renamed)) for facts, operation in ran]
    procedures = {procedure for procedure, _ in subjects}
    found: list[LintMessage] = []
    for item in expectations.items:
        met = {procedure for procedure, subject in subjects if item.condition.holds(subject)}
        found.extend(_odd(item, len(met), len(procedures)))
    return sorted(found, key=lambda message: (message.file, message.line))


def _odd(item: Expectation, met: int, procedures: int) -> Iterator[LintMessage]:
    if not met:
        problem = f"{item.id}: speaks of no execution of this operation"
        yield _message(item, LintCode.MATCHES_NOTHING, problem, "correct its when, unless it is for another operation")
    elif met >= _MANY and met * 2 > procedures and _names_one(item):
        problem = f"{item.id}: expects one detection of {met} of {procedures} different procedures"
        yield _message(item, LintCode.MATCHES_TOO_MUCH, problem, "narrow its when: procedure, command or technique")


def _message(item: Expectation, code: LintCode, problem: str, remedy: str) -> LintMessage:
    return LintMessage(file=item.file, line=item.line, code=code, message=problem, remedy=remedy)


def _names_one(item: Expectation) -> bool:
    """Whether it asks for one detection or trace, and not for any of a kind."""
    question, alert = item.question, item.question.alert
    named = alert is not None and bool(alert.rule or alert.rule_id or alert.query)
    return question.wanted not in _MEANT_FOR_MANY and (named or not _NAMING.isdisjoint(question.asks))


def _procedure(execution: ExecutionFacts) -> str:
    """What makes two runs one recipe."""
    recipe = execution.procedure
    return recipe.fingerprint or recipe.id or recipe.name or execution.command
