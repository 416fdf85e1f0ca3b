"""Sigma rules as SPL: only where every condition keeps its meaning. Needs the extra ``convert``."""

from __future__ import annotations

import re
from typing import Any

from sigma.backends.splunk.splunk import SplunkBackend
from sigma.pipelines.common import generate_windows_logsource_items
from sigma.pipelines.sysmon.sysmon import sysmon_pipeline
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldMappingTransformation
from sigma.rule import SigmaLogSource, SigmaRule
from sigma.types import SigmaString, SpecialChars

from checking_core.plugin.sigma import converted, has_keywords, has_regex, items_of, read_rule, refused
from checking_plugin_splunk.language import read

__all__ = ["scope_of", "to_spl"]

_OTHERWISE = {
    "Provider_Name": "Provider_Name has another name in each add-on of Splunk",
    "Data": "Data has no name of its own in Splunk",
    "Message": "Message is not in the XML of an event",
}
"""Fields that no event in XML has in Splunk."""
_CHANNEL = re.compile(r'\Asource(?:="[^"*]+"| IN \("[^)*]+"\)) ')
_SYSMON = re.compile(
    r'\Asource="XmlWinEventLog:Microsoft-Windows-Sysmon/Operational" EventCode(?:=\d+| IN \([\d, ]+\)) '
)
_ITSELF = re.compile(r"(?<!\\)(?:\\\\)*\\\*")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"')


def to_spl(sigma: str | dict[str, Any]) -> str:
    """The rule as a query: of Sysmon for its categories, of the rule's own channel otherwise, and of no index yet.

    Raises:
        FatalDetectionError: something of the rule would be lost; says what, and to write a query instead.
    """
    rule = read_rule(sigma)
    if why := _unscoped(rule.logsource) or _lossy(rule):
        raise refused(f"{why}; write the query as rule")
    rule.fields = []  # rows would have these alone, without their time and host
    query = converted(rule, SplunkBackend(sysmon_pipeline() + _windows_in_xml()))
    if why := _misread(query):
        raise refused(f"{why}; write the query as rule")
    scope = (_SYSMON if rule.logsource.category else _CHANNEL).match(query)
    if scope is None:
        events = rule.logsource.category or rule.logsource.service
        raise refused(f"events of {events} cannot be told from others; write the query as rule")
    return f"{scope[0]}({query[scope.end() :]})"


def scope_of(query: str) -> str:
    """What a converted rule is asked of: a channel, and for a category of Sysmon its kinds of event."""
    found = _SYSMON.match(query) or _CHANNEL.match(query)
    return found[0].strip() if found else ""


def _unscoped(source: SigmaLogSource) -> str | None:
    """Why events of this source cannot be told from others."""
    if source.product != "windows":
        return f"how Splunk names the events of {source.product or 'any product'} is different at each place"
    if source.category is None and source.service is None:
        return "the rule has neither category nor service, so it would search everything"
    return None


def _lossy(rule: SigmaRule) -> str | None:
    """What the query would not say, or say otherwise."""
    if has_keywords(rule):
        return "the rule looks for a text in any field, of which Splunk finds whole words only"
    if has_regex(rule):
        return "the rule has regular expressions, which stand behind the search and lose its alternatives"
    values = [value for item in items_of(rule) for value in item.value]
    if any(isinstance(value, SigmaString) and SpecialChars.WILDCARD_SINGLE in value.s for value in values):
        return "the rule has ? for one character, which Splunk cannot tell from any text"
    return next((_OTHERWISE[item.field] for item in items_of(rule) if item.field in _OTHERWISE), None)


def _misread(query: str) -> str | None:
    """What of the query Splunk would take for something else."""
    if any(_ITSELF.search(text) for text in _STRING.findall(query)):
        return "the rule means * as itself, which search cannot write"
    if read(query).parts()[1]:
        return "the rule compares fields with each other, which stands behind the search and minds their case"
    return None


def _windows_in_xml() -> ProcessingPipeline:
    """Channels and fields of Windows as the add-ons of Splunk have them, of which each event's XML is kept."""
    renamed = ProcessingItem(transformation=FieldMappingTransformation({"EventID": "EventCode"}))
    sources = generate_windows_logsource_items("source", "XmlWinEventLog:{source}")
    return ProcessingPipeline(items=[*sources, renamed], priority=20)
