"""Sigma rules as EQL: only where every condition keeps its meaning. Needs the extra ``convert``."""

from __future__ import annotations

import re
from typing import Any

from sigma.backends.elasticsearch.elasticsearch_eql import EqlBackend
from sigma.pipelines.elasticsearch.windows import ecs_windows
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldFunctionTransformation
from sigma.rule import SigmaLogSource, SigmaRule

from checking_core.plugin.sigma import converted, has_keywords, has_regex, items_of, read_rule, refused
from checking_plugin_elastic.language import strings_in, without_strings

__all__ = ["to_eql"]

_ANY = "any where "
_REGISTRY = "registry where "
_SCOPES = {
    "process_creation": 'process where event.type == "start" and ',
    "network_connection": 'network where event.type in ("start", "connection") and ',
    "dns_query": "any where dns.question.name != null and ",
    "file_event": 'file where event.type != "deletion" and ',
    "file_delete": 'file where event.type == "deletion" and ',
    "registry_set": _REGISTRY,
    "registry_add": _REGISTRY,
    "registry_delete": _REGISTRY,
    "registry_event": _REGISTRY,
}
"""What an event of a category is in ECS, as Elastic Defend and Winlogbeat both write it."""
_OTHERWISE = {
    "Initiated": "Initiated has no field in ECS that tells true from false",
    "User": "User is a domain and a name, which ECS keeps in two fields",
    "ParentProcessName": "ParentProcessName is a path, of which ECS keeps the name alone",
}
"""Fields that the mapping of pySigma gives a place where their values never are."""
_ITSELF = re.compile(r"(?<!\\)(?:\\\\)*\\[*?]")
_NOT_ECS = re.compile(r"\bwinlog\.[\w.]+")


def to_eql(sigma: str | dict[str, Any]) -> str:
    """The rule as a query.

    EQL and not Lucene: Sigma does not mind upper and lower case, nor does ``:`` of EQL, while Lucene on a keyword does.

    Raises:
        FatalDetectionError: something of the rule would be lost; says what, and to write a query instead.
    """
    rule = read_rule(sigma)
    if why := _unscoped(rule.logsource) or _lossy(rule):
        raise refused(f"{why}; write the query as rule")
    query = converted(rule, EqlBackend(ecs_windows() + _without_caseless()))
    if why := _misread(query, rule.logsource):
        raise refused(f"{why}; write the query as rule")
    scope = _SCOPES.get(rule.logsource.category or "", _ANY)
    return f"{scope}({query.removeprefix(_ANY)})"


def _unscoped(source: SigmaLogSource) -> str | None:
    """Why events of this source cannot be told from others."""
    if source.product != "windows":
        return f"there are no fields of ECS for {source.product or 'any product'}, only for windows"
    if source.category is not None and source.category not in _SCOPES:
        return f"events of {source.category} cannot be told from others in ECS"
    if source.category is None and source.service is None:
        return "the rule has neither category nor service, so it would search everything"
    return None


def _lossy(rule: SigmaRule) -> str | None:
    """What the query would not say, or say otherwise."""
    if has_keywords(rule):
        return "the rule looks for a text in any field, which EQL cannot"
    if has_regex(rule):
        return "the rule has regular expressions, which Elastic anchors and reads differently"
    return next((_OTHERWISE[item.field] for item in items_of(rule) if item.field in _OTHERWISE), None)


def _misread(query: str, source: SigmaLogSource) -> str | None:
    """What of the query Elastic would refuse, or never find."""
    if not query.startswith(_ANY):
        return "the rule became something else than one condition"
    if any(_ITSELF.search(text) for text in strings_in(query)):
        return "the rule means * or ? as itself, which EQL cannot write"
    own = sorted(set(_NOT_ECS.findall(without_strings(query))))
    if source.category is not None and own:
        return f"{', '.join(own)}: written by Winlogbeat, not by Elastic Defend"
    return None


def _without_caseless() -> ProcessingPipeline:
    """``process.executable.caseless`` is only in the mapping of Elastic Defend; ``:`` minds no case anyway."""
    plain = FieldFunctionTransformation(mapping={}, transform_func=_plain)
    return ProcessingPipeline(items=[ProcessingItem(transformation=plain)], priority=90)


def _plain(field: str | None) -> str:
    return (field or "").removesuffix(".caseless")
