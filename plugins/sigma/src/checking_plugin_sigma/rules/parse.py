"""Rules as they are written become ours. pySigma is imported here and in ``condition``; a cached rule needs neither.

What cannot be evaluated is refused with the reason in words: a rule is never simplified, and never left out silently.
"""

from __future__ import annotations

import hashlib
import re
from difflib import get_close_matches
from importlib import import_module
from inspect import signature
from typing import Any

import yaml
from sigma.collection import SigmaCollection
from sigma.exceptions import SigmaError
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaRule

from checking_plugin_sigma.events.routing import Logsource
from checking_plugin_sigma.rules.condition import Placeholders, UnsupportedError, condition_of
from checking_plugin_sigma.rules.model import ANY, Refused, Rule, RuleSet

__all__ = ["parse"]

_NOT_RULES = {
    "correlation": "is a correlation rule: relations between several events are not evaluated",
    "filter": "is a Sigma filter: it changes other rules and is no rule itself",
}

_UNKNOWN = re.compile(r"Unknown modifier '(.*?)'")


def parse(text: str, source: str, placeholders: Placeholders) -> RuleSet:
    """The rules of one file, one or several documents.

    Args:
        text: YAML.
        source: name of the file, for people.
        placeholders: values for the modifier ``expand``.
    """
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    try:
        documents = [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return RuleSet(refused=(Refused(source=source, problem=f"is no YAML: {_one_line(error)}"),))
    if not documents:
        return RuleSet(refused=(Refused(source=source, problem="is empty"),))
    if any(isinstance(document, dict) and "action" in document for document in documents):
        return _of_collection(documents, source, digest, placeholders)
    found = RuleSet()
    for document in documents:
        found += _of_document(document, source, digest, placeholders)
    return found


class _Loader(yaml.CSafeLoader):
    """A key that stands twice is an error: the first half of such a rule would vanish without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        names = [key.value for key, _ in node.value]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _of_document(document: Any, source: str, digest: str, placeholders: Placeholders) -> RuleSet:
    if not isinstance(document, dict):
        return RuleSet(refused=(Refused(source=source, problem="is no mapping"),))
    problem = next((words for key, words in _NOT_RULES.items() if key in document), None)
    if problem is None:
        try:
            rule = SigmaRule.from_dict(document, **_trusted())
            return RuleSet(rules=(_compiled(rule, source, digest, placeholders),))
        except UnsupportedError as error:
            problem = _one_line(error)
        except SigmaError as error:
            problem = _in_words(error)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            problem = f"cannot be read: {_one_line(error) or type(error).__name__}"
    return RuleSet(refused=(_refused(document, source, problem),))


def _refused(document: dict[Any, Any], source: str, problem: str) -> Refused:
    """What is refused counts among the rules of its techniques all the same."""
    return Refused(
        source=source,
        problem=problem,
        title=_text(document.get("title")) or "",
        id=_text(document.get("id")),
        tags=_tags(document),
    )


def _tags(document: Any) -> tuple[str, ...]:
    tags = document.get("tags") if isinstance(document, dict) else None
    return tuple(str(tag).lower() for tag in tags) if isinstance(tags, list) else ()


def _of_collection(documents: list[Any], source: str, digest: str, placeholders: Placeholders) -> RuleSet:
    """Documents with ``action``: one says what the others have in common."""
    whole = len([document for document in documents if not isinstance(document, dict) or "detection" in document]) or 1
    try:
        collection = SigmaCollection.from_dicts(documents, **_trusted())
        rules = [_compiled(rule, source, digest, placeholders) for rule in collection.rules]
        return RuleSet(rules=tuple(rules))
    except (SigmaError, UnsupportedError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = _in_words(error) if isinstance(error, SigmaError) else _one_line(error)
        tags = tuple(tag for document in documents for tag in _tags(document))
        return RuleSet(refused=(Refused(source=source, problem=problem, tags=tags),) * whole)


def _in_words(error: SigmaError) -> str:
    """What pySigma says of a rule, as the end of a sentence about it."""
    if not (unknown := _UNKNOWN.search(str(error))):
        return f"cannot be read: {_one_line(error)}"
    near = get_close_matches(unknown[1], modifier_mapping, n=1)
    return f"has the unknown modifier {unknown[1]}" + (f"; did you mean {near[0]}?" if near else "")


def _trusted() -> dict[str, Any]:
    """Patterns mean what Python's ``re`` makes of them; pySigma 2 would check them with another engine."""
    if "policy" not in signature(SigmaRule.from_dict).parameters:
        return {}
    return {"policy": import_module("sigma.policy.profiles").TrustedPolicy}


def _compiled(rule: Any, source: str, digest: str, placeholders: Placeholders) -> Rule:
    if not isinstance(rule, SigmaRule):
        raise UnsupportedError(_NOT_RULES["correlation"])
    tags = tuple(f"{tag.namespace}.{tag.name}".lower() for tag in rule.tags)
    return Rule(
        id=str(rule.id or f"sha256:{digest[:32]}"),
        title=rule.title or source,
        author=_text(rule.author),
        licence=_text(rule.license),
        level=str(rule.level).lower() if rule.level else None,
        status=str(rule.status).lower() if rule.status else None,
        tags=tags,
        digest=digest,
        source=source,
        logsource=_logsource(rule.logsource),
        condition=condition_of(rule, placeholders),
    )


def _logsource(told: Any) -> Logsource:
    category = None if told.category == ANY else _lower(told.category)
    return Logsource(_lower(told.product), category, _lower(told.service))


def _lower(text: str | None) -> str | None:
    return text.strip().lower() or None if text else None


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]
