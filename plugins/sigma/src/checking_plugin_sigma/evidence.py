"""A hit as a record that proves something: who wrote the rule, what it named, where the event stands. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from checking_core import Ask, Event, Match
from checking_plugin_sigma.evaluate.scan import Hit
from checking_plugin_sigma.rules.model import Rule

__all__ = ["match_of", "record_of", "rule_told"]

_LONGEST = 2_000


def rule_told(rule: Rule) -> dict[str, Any]:
    """What is shown of a rule; its licence asks to name the author wherever a match is shown."""
    return {
        "id": rule.id,
        "title": rule.title,
        "author": rule.author,
        "licence": rule.licence,
        "level": rule.level,
        "tags": list(rule.tags),
        "sha256": rule.digest,
        "file": rule.source,
    }


def record_of(action: Sequence[Hit], ask: Ask, moment: datetime | None, shift: timedelta | None) -> dict[str, Any]:
    """An action as JSON.

    Args:
        action: its hits, the one to show first.
        ask: the question it answers.
        moment: when it happened, if that is known, as it was recorded.
        shift: what the times of a recording are shown later by.
    """
    first = action[0]
    event, raw = first.event, hashlib.sha256(first.event.raw).hexdigest()
    named = {name: event.fields[name] for name in first.rule.fields if name in event.fields}
    record: dict[str, Any] = {
        "id": f"{first.rule.id} {first.path.name}:{event.line} {raw[:16]}",
        "ask": ask.value,
        "rule": rule_told(first.rule),
        **_place_of(first),
        "event_id": event.text("EventID"),
        "host": event.host,
        "sha256": raw,
        "happened_at": (moment + (shift or timedelta(0))).isoformat() if moment else None,
        "user": event.text("User", "SubjectUserName", "TargetUserName"),
        "process_id": event.text("ProcessId", "SourceProcessId"),
        "parent_process_id": event.text("ParentProcessId"),
        "command": event.text("CommandLine"),
        "hashes": event.text("Hashes"),
        "fields": {name: _short(value) for name, value in named.items()},
        "techniques": list(first.rule.techniques),
    }
    if len(action) > 1:
        record["recorded_again_at"] = [_place_of(hit) for hit in action[1:]]
    if shift is not None and moment is not None:
        record["replayed"] = {"recorded_at": moment.isoformat(), "later_by_s": shift.total_seconds()}
    return record


def match_of(record: Mapping[str, Any]) -> Match | Event:
    """The record in core's words: a match, or an event where the raw trace was asked for."""
    rule = record["rule"]
    happened = record["happened_at"]
    shown = {name: record[name] for name in _SHOWN if record.get(name)}
    kind = Event if record["ask"] in (Ask.TELEMETRY, Ask.ALIVE) else Match
    return kind(
        id=record["id"],
        title=_credited(rule) if kind is Match else record["command"] or rule["title"],
        hosts=_some(record["host"]),
        users=_some(record["user"]),
        pid=_number(record["process_id"]),
        ancestors=tuple(pid for pid in (_number(record["parent_process_id"]),) if pid is not None),
        commands=_some(record["command"]),
        hashes=_some(record["hashes"]),
        techniques=tuple(record["techniques"]),
        rule=rule["title"],
        rule_id=rule["id"],
        event_at=datetime.fromisoformat(happened) if happened else None,
        fields={**record["fields"], "sigma": {"rule": rule, **shown}},
    )


def _credited(rule: Mapping[str, Any]) -> str:
    return f"{rule['title']} (rule by {rule['author']})" if rule["author"] else str(rule["title"])


_SHOWN = ("file", "line", "channel", "event_id", "sha256", "recorded_again_at", "replayed")


def _place_of(hit: Hit) -> dict[str, Any]:
    return {"file": hit.path.name, "line": hit.event.line, "channel": hit.event.text("Channel")}


def _short(value: str | tuple[str, ...]) -> str | list[str]:
    return value[:_LONGEST] if isinstance(value, str) else [text[:_LONGEST] for text in value[:20]]


def _some(text: str) -> tuple[str, ...]:
    return (text,) if text else ()


def _number(text: str) -> int | None:
    try:
        return int(text, 0) if text else None
    except ValueError:
        return None
