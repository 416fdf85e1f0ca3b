"""Short forms for rules and events, and the question whether they fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml

from checking_plugin_sigma.evaluate.chunk import Chunk
from checking_plugin_sigma.evaluate.scan import wanted_fields
from checking_plugin_sigma.events.model import Event
from checking_plugin_sigma.events.normalise import event_of
from checking_plugin_sigma.rules.model import Rule, RuleSet
from checking_plugin_sigma.rules.parse import parse

ID = "11111111-2222-4333-8444-555555555555"


def rule_text(selection: Any, **changes: Any) -> str:
    """A rule about any Windows event with this selection; keywords replace parts of it."""
    detection = changes.pop("detection", {"selection": selection, "condition": "selection"})
    rule = {
        "title": "A rule",
        "id": ID,
        "author": "An Author",
        "level": "high",
        "tags": ["attack.execution", "attack.t1059.001"],
        "logsource": {"product": "windows"},
        "detection": detection,
    }
    return yaml.safe_dump(rule | changes, sort_keys=False)


def parsed(text: str, **placeholders: list[str]) -> RuleSet:
    return parse(text, "rule.yml", placeholders)


def a_rule(selection: Any = None, **changes: Any) -> Rule:
    found = parsed(rule_text(selection, **changes))
    assert not found.refused, found.refused
    return found.rules[0]


def refusal(selection: Any = None, **changes: Any) -> str:
    """Why a rule is refused."""
    found = parsed(rule_text(selection, **changes))
    assert (found.rules, len(found.refused)) == ((), 1)
    return found.refused[0].problem


def an_event(fields: Mapping[str, Any] | None = None, line: int = 1, **more: Any) -> Event:
    """An event of Sysmon; a field that is None is not there."""
    record = {"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, **(fields or {}), **more}
    return event_of(record, line, msgspec.json.encode(record))


def lines_hit(rule: Rule, *events: Event) -> list[int]:
    return [event.line for event in Chunk(events, wanted_fields([rule])).hits(rule)]


def hits(selection: Any, fields: Mapping[str, Any], **changes: Any) -> bool:
    """Whether a rule with this selection hits an event with these fields."""
    return bool(lines_hit(a_rule(selection, **changes), an_event(fields)))
