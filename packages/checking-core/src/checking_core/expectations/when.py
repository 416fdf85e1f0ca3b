"""``when`` of an expectation, compiled: does it speak of this execution, and how specifically?

Planning asks every expectation about every execution, so all that can be done once is done at load.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from functools import partial
from typing import TypeAlias

import msgspec

from checking_core.contracts import ExecutionFacts, OperationFacts
from checking_core.contracts.technique import current_technique, lineage_of
from checking_core.expectations.model import When

__all__ = ["Condition", "Subject", "compile_when", "platform_of", "subject_of"]

MAX_COMMAND = 32 * 1024
"""Characters of a command that patterns see: commands are hostile and patterns may be slow."""

_SPECIFICITY = {"ability": 5, "procedure": 4, "command": 3, "technique": 2, "tactic": 1}


class Subject(msgspec.Struct, frozen=True):
    """What ``when`` can ask about an execution, prepared once for all expectations."""

    ability: str
    procedure: str
    commands: tuple[str, ...]
    lineage: frozenset[str]
    tactic: str
    platform: str
    hosts: tuple[str, ...]
    agent: str
    operation: str


Test: TypeAlias = Callable[[Subject], bool]


class Condition(msgspec.Struct, frozen=True):
    """A compiled ``when``."""

    specificity: int
    tests: tuple[Test, ...]

    def holds(self, subject: Subject) -> bool:
        """Whether every key holds."""
        for test in self.tests:  # noqa: SIM110 (all() with a generator takes three times as long)
            if not test(subject):
                return False
        return True


def platform_of(text: str | None) -> str:
    """The operating system's name as detection types spell it; empty if it is not known."""
    name = (text or "").lower()
    return "darwin" if name == "macos" else name


def subject_of(execution: ExecutionFacts, operation: OperationFacts, renamed: Mapping[str, str]) -> Subject:
    """The execution as ``when`` sees it.

    Args:
        execution: as its message tells it.
        operation: to which it belongs.
        renamed: old to new technique ids.
    """
    host = execution.agent_host.lower()
    texts = {execution.command[:MAX_COMMAND], (execution.plaintext_command or "")[:MAX_COMMAND]}
    procedure = execution.procedure
    return Subject(
        ability=(procedure.id or "").lower(),
        procedure=procedure.name.lower(),
        commands=tuple(text for text in texts if text),
        lineage=lineage_of(procedure.technique_id or "", renamed),
        tactic=_tactic(procedure.tactic or ""),
        platform=platform_of(execution.platform),
        hosts=(host, host.partition(".")[0]),
        agent=execution.agent_paw.lower(),
        operation=operation.name.lower(),
    )


def compile_when(when: When, renamed: Mapping[str, str]) -> Condition:
    """Compile a ``when``, the cheapest tests first.

    Args:
        when: as written and validated.
        renamed: old to new technique ids; an expectation may be older or newer than the execution's id.
    """
    tests = (
        (when.platform, _platform),
        (when.ability, _ability),
        (when.technique, partial(_technique, renamed=renamed)),
        (when.tactic, _tactics),
        (when.agent, partial(_globs, seen=lambda subject: (subject.agent,))),
        (when.host, partial(_globs, seen=lambda subject: subject.hosts)),
        (when.operation, partial(_globs, seen=lambda subject: (subject.operation,))),
        (when.procedure, partial(_globs, seen=lambda subject: (subject.procedure,))),
        (when.command, _command),
    )
    specificity = max(_SPECIFICITY.get(key, 0) for key in when.model_fields_set)
    return Condition(specificity, tuple(compiled(wanted) for wanted, compiled in tests if wanted))


def _platform(wanted: tuple[str, ...]) -> Test:
    names = frozenset(map(platform_of, wanted))
    return lambda subject: subject.platform in names


def _ability(wanted: tuple[str, ...]) -> Test:
    ids = frozenset(text.lower() for text in wanted)
    return lambda subject: subject.ability in ids


def _tactics(wanted: tuple[str, ...]) -> Test:
    names = frozenset(map(_tactic, wanted))
    return lambda subject: subject.tactic in names


def _technique(wanted: tuple[str, ...], renamed: Mapping[str, str]) -> Test:
    ids = frozenset(name for text in wanted for name in (text.upper(), current_technique(text, renamed)))
    return lambda subject: not ids.isdisjoint(subject.lineage)


def _globs(wanted: tuple[str, ...], seen: Callable[[Subject], tuple[str, ...]]) -> Test:
    """A name with brackets in it is also met by itself, not only as a pattern."""
    exact = frozenset(text.lower() for text in wanted)
    pattern = re.compile("|".join(map(translate, sorted(exact))))
    return lambda subject: any(name in exact or pattern.match(name) for name in seen(subject))


def _command(wanted: tuple[str, ...]) -> Test:
    patterns = tuple(re.compile(text) for text in wanted)
    return lambda subject: any(pattern.search(text) for pattern in patterns for text in subject.commands)


def _tactic(text: str) -> str:
    return text.lower().replace(" ", "-").replace("_", "-")
