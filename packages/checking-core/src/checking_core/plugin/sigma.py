"""Sigma rules in the languages of products: read, converted, and refused in words where something would be lost.

Needs the extra ``convert``. A detector brings the converter and what its product cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import SigmaRegularExpression

from checking_core.contracts import Reason
from checking_core.errors import FatalDetectionError

__all__ = ["Converter", "converted", "credit_of", "has_keywords", "has_regex", "items_of", "read_rule", "refused"]


class Converter(Protocol):
    """A backend of pySigma with its pipeline."""

    def convert(self, rule_collection: SigmaCollection) -> Any:
        """One query, or a list of them."""
        ...


def refused(why: str) -> FatalDetectionError:
    """The error that a rule is not converted; ``why`` says what to do instead."""
    return FatalDetectionError(why, reason=Reason.NOT_CONVERTIBLE)


def read_rule(sigma: str | dict[str, Any]) -> SigmaRule:
    """The one rule of a file, or a rule that was given inline.

    Raises:
        FatalDetectionError: there is no such file, or not one rule that is whole and stands for itself.
    """
    try:
        found = SigmaCollection.from_dicts([sigma]) if isinstance(sigma, dict) else _read(Path(sigma))
    except (SigmaError, ValueError, TypeError, AttributeError) as error:
        raise refused(f"it is no Sigma rule: {_words(error)}") from error
    if len(found.rules) != 1:
        raise refused(f"{len(found.rules)} rules stand in one place; one question is about one rule")
    rule = found.rules[0]
    if isinstance(rule, SigmaCorrelationRule):
        raise refused("a correlation counts events, while a check asks whether one event is there: name a rule of it")
    return rule


def converted(rule: SigmaRule, converter: Converter) -> str:
    """The query that a converter makes of a rule.

    Raises:
        FatalDetectionError: it makes none, or several.
    """
    try:
        made = converter.convert(SigmaCollection([rule]))
    except (SigmaError, NotImplementedError) as error:
        raise refused(f"its language cannot say this rule: {_words(error)}") from error
    queries = [made] if isinstance(made, str) else list(made)
    if len(queries) != 1 or not str(queries[0]).strip():
        raise refused(f"the rule became {len(queries)} queries; write the one that is meant as rule")
    return str(queries[0])


def credit_of(rule: SigmaRule) -> dict[str, str | None]:
    """Who wrote the rule: most licences want that wherever a match is shown."""
    return {
        "title": rule.title,
        "id": str(rule.id) if rule.id else None,
        "author": rule.author or None,
        "licence": rule.license or None,
        "level": rule.level.name.lower() if rule.level else None,
    }


def items_of(rule: SigmaRule) -> Iterator[SigmaDetectionItem]:
    """Every condition on a field, or on no field, of a rule."""
    waiting: list[SigmaDetection | SigmaDetectionItem] = list(rule.detection.detections.values())
    while waiting:
        one = waiting.pop()
        if isinstance(one, SigmaDetectionItem):
            yield one
        else:
            waiting += one.detection_items


def has_keywords(rule: SigmaRule) -> bool:
    """Whether a text is looked for in any field."""
    return any(item.field is None for item in items_of(rule))


def has_regex(rule: SigmaRule) -> bool:
    """Whether a value is a regular expression."""
    return any(isinstance(value, SigmaRegularExpression) for item in items_of(rule) for value in item.value)


def _read(path: Path) -> SigmaCollection:
    try:
        return SigmaCollection.from_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refused(f"the rule {path.name} cannot be read here: {error.strerror or error}") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
