"""What can be wrong with an expectations file: one line a person can act on."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from checking_core.errors import ConfigurationError

__all__ = ["ExpectationsError", "LintCode", "LintMessage"]


class LintCode(StrEnum):
    """The kinds of problem; a kind keeps its name for good, so that a pipeline may ignore it."""

    UNREADABLE = "unreadable"
    SCHEMA = "schema"
    UNKNOWN_KEY = "unknown-key"
    BAD_REGEX = "bad-regex"
    DUPLICATE_ID = "duplicate-id"
    UNKNOWN_BACKEND = "unknown-backend"
    OWN_TIME_RANGE = "own-time-range"
    NO_SCOPE = "no-scope"
    UNKNOWN_PLACEHOLDER = "unknown-placeholder"
    UNCLEAR_QUOTES = "unclear-quotes"
    NOT_ASKED = "not-asked"
    NOT_ANSWERED = "not-answered"
    NO_ALIVE = "no-alive"
    RENAMED_TECHNIQUE = "renamed-technique"
    NOT_CONVERTIBLE = "not-convertible"
    MATCHES_NOTHING = "matches-nothing"
    MATCHES_TOO_MUCH = "matches-too-much"


class LintMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One problem: where it is, what it is, and what to do. As text ``file:line: CODE message; remedy``."""

    file: str
    line: int
    code: LintCode
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code} {self.message}; {self.remedy}"


class ExpectationsError(ConfigurationError):
    """Expectations cannot be used.

    Args:
        problems: all that was found, at least one; the text names the first and counts the others.
    """

    def __init__(self, *problems: LintMessage) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more: checking expectations lint)" if len(problems) > 1 else ""
        super().__init__(f"{first.file}:{first.line}: {first.message}; {first.remedy}{more}")
        self.problems = problems
