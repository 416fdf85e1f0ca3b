"""Which rules a check means: by path, id or title, written out, or as a bare query. All within one folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from checking_core.contracts import Reason
from checking_core.contracts.technique import current_technique, lineage_of
from checking_core.errors import ConfigurationError, FatalDetectionError, QueryInvalidError
from checking_plugin_sigma.rules.cache import RuleCache
from checking_plugin_sigma.rules.load import load_rules, rules_of_text, stamp_of
from checking_plugin_sigma.rules.model import ANY, Refused, Rule, RuleSet

__all__ = ["Library", "is_words"]

_TECHNIQUE = re.compile(r"attack\.(t\d{4}(?:\.\d{3})?)", re.IGNORECASE)
_INLINE = "the check"
_OF_RULES = frozenset({"detection", "logsource", "correlation"})
"""A mapping with any of these keys is a rule, though it may lack the others: no event has such fields."""
_ANYTHING = "*"
_QUERY = {"title": "query", "logsource": {"category": ANY}}


class Library:
    """The rules of a folder, read again when they change, and rules that a check brings itself.

    Args:
        folder: a folder or one file; ``None``: checks have to bring their rules.
        cache: where compiled rules are kept.
        placeholders: values for the modifier ``expand``.
    """

    def __init__(self, folder: Path | None, cache: RuleCache, placeholders: Mapping[str, Sequence[str]]) -> None:
        self._folder = folder
        self._cache = cache
        self._placeholders = placeholders
        self._kept: tuple[object, RuleSet] = (None, RuleSet())

    def all(self) -> RuleSet:
        """Every rule of the folder.

        Raises:
            ConfigurationError: there is no folder, or none that can be read.
        """
        if self._folder is None:
            raise ConfigurationError("CHECKING_SIGMA_RULES names no folder of rules")
        stamp = stamp_of(self._folder)
        if self._kept[0] != stamp:
            self._kept = (stamp, load_rules(self._folder, cache=self._cache, placeholders=self._placeholders))
        return self._kept[1]

    def meant(self, question: str) -> RuleSet:
        """The rules that a check means; some are refused only where it means those of a technique.

        What can be read as none of these is a mistake, never words to look for: those would not be found.

        Args:
            question: YAML of a rule, the path of one in the folder, its id or title, the tag of a technique
                (``attack.t1003`` means its sub-techniques too), a selection such as ``{Image|endswith: whoami}``, or
                words to look for in any field, which stand in quotes; ``*`` is any event.

        Raises:
            QueryInvalidError: it means no rule.
            FatalDetectionError: a rule it names cannot be evaluated, or none of a technique.
        """
        text = question.strip()
        if tag := _TECHNIQUE.fullmatch(text):
            return self._tagged(current_technique(tag[1]))
        return self._usable(self._told(text))

    def _told(self, text: str) -> RuleSet:
        if is_words(text):
            return self._written_out(_as_rule(text if text == _ANYTHING else _yaml(text)))
        told, several = _yaml(text), "\n---" in text
        if several or (isinstance(told, dict) and _OF_RULES & told.keys()):
            return self._written_out(text)
        if text[:1] in ("{", "[") or "\n" in text:
            if not isinstance(told, dict | list):
                raise QueryInvalidError(f"neither a rule nor a selection: {_flaw(text)}")
            return self._written_out(_as_rule(told))
        if text.lower().endswith((".yml", ".yaml")):
            return self._of_file(text)
        named = self._named(text)
        if not named.given and not isinstance(told, dict):
            raise QueryInvalidError(f"no rule is called {text[:200]}{self._near(text)}; words to look for need quotes")
        return named if named.given else self._written_out(_as_rule(told))

    def _tagged(self, technique: str) -> RuleSet:
        """The rules of a technique. One of them that cannot be evaluated does not keep the others from it."""
        folder = self.all()
        found = RuleSet(
            rules=tuple(rule for rule in folder.rules if _is_of(rule, technique)),
            refused=tuple(rule for rule in folder.refused if _is_of(rule, technique)),
        )
        if not found.given:
            raise QueryInvalidError(f"no rule of the folder has the tag attack.{technique.lower()}")
        return found if found.rules else self._usable(found)

    def _written_out(self, text: str) -> RuleSet:
        return rules_of_text(text, _INLINE, cache=self._cache, placeholders=self._placeholders)

    def _of_file(self, path: str) -> RuleSet:
        """By path from the folder, or by name alone. Nothing outside of the folder is read: a message may ask this."""
        found = self._from(path) or self._from(path.rpartition("/")[2], anywhere=True)
        if found is not None:
            sources = {*(rule.source for rule in found.rules), *(rule.source for rule in found.refused)}
            if len(sources) == 1:
                return found
            raise QueryInvalidError(f"{path} may be any of {', '.join(sorted(sources)[:3])}")
        raise QueryInvalidError(f"the folder of rules holds no {path}{self._near(path.rpartition('/')[2])}")

    def _near(self, name: str) -> str:
        """The rule that a mistyped name may mean, as the end of a sentence."""
        known = {told.casefold(): told for told in self._names()}
        near = get_close_matches(name.casefold(), known, n=1)
        return f"; did you mean {known[near[0]]}?" if near else ""

    def _names(self) -> Iterator[str]:
        if self._folder is not None:
            found = self.all()
            named = [(rule.source, rule.title, rule.id) for rule in found.rules]
            named += [(rule.source, rule.title, rule.id or "") for rule in found.refused]
            for source, *others in named:
                yield from (source.rpartition("/")[2], *others)

    def _named(self, text: str) -> RuleSet:
        if self._folder is None:
            return RuleSet()
        word, found = text.casefold(), self.all()
        return RuleSet(
            rules=tuple(rule for rule in found.rules if word in (rule.id.casefold(), rule.title.casefold())),
            refused=tuple(rule for rule in found.refused if word in (rule.id or "", rule.title.casefold())),
        )

    def _from(self, path: str, *, anywhere: bool = False) -> RuleSet | None:
        """The rules that a file holds, below the folder or anywhere in it."""

        def fits(source: str) -> bool:
            return source == path or path.endswith(f"/{source}") or (anywhere and source.endswith(f"/{path}"))

        found = self.all()
        rules = tuple(rule for rule in found.rules if fits(rule.source))
        refused = tuple(rule for rule in found.refused if fits(rule.source))
        return RuleSet(rules=rules, refused=refused) if rules or refused else None

    def _usable(self, found: RuleSet) -> RuleSet:
        if found.refused:
            first = found.refused[0]
            raise FatalDetectionError(f"{first.title or first.source} {first.problem}", reason=Reason.NOT_CONVERTIBLE)
        return found


def _is_of(rule: Rule | Refused, technique: str) -> bool:
    return any(technique in lineage_of(one) for one in rule.techniques)


def is_words(text: str) -> bool:
    """Whether a question is words to look for in any field: in quotes, or several in a list; or ``*``."""
    told = _yaml(text)
    if isinstance(told, list):
        return bool(told) and all(isinstance(word, str) for word in told)
    return text.strip() == _ANYTHING or (isinstance(told, str) and text.lstrip()[:1] in ('"', "'"))


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _flaw(text: str) -> str:
    """What keeps a text from being YAML."""
    try:
        yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        return f"is no YAML{f', see line {place.line + 1}, column {place.column + 1}' if place else ''}"
    except (yaml.YAMLError, ValueError, RecursionError):
        return "is no YAML"
    return "write key: value"


def _as_rule(selection: Any) -> str:
    """A bare selection, or words, as a rule about every event."""
    selection = [selection] if isinstance(selection, str) else selection
    return yaml.safe_dump(_QUERY | {"detection": {"selection": selection, "condition": "selection"}})
