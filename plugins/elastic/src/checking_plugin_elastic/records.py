"""Documents of Elasticsearch in core's words. Keys may be nested or have dots in their names, also within one alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from checking_core import Alert, Event, Match, Prevention
from checking_core.plugin.fields import moment_at, number_at, texts_at, values_at

__all__ = ["HOSTS", "RULES", "SUPPRESSION", "alert_of", "event_of", "match_of", "suppressed_by", "with_suppressed"]

HOSTS = ("host.name", "host.hostname", "host.id", "winlog.computer_name")
"""Where a host is named. Of an event that was forwarded some of them name the collector."""
RULES = ("kibana.alert.rule", "signal.rule")
"""Now, and in version 7."""
SUPPRESSION = "kibana.alert.suppression"
"""Where an alert tells of events that raised none of their own, because it was there already."""
_TECHNIQUES = ("kibana.alert.rule.threat", "signal.rule.threat", "threat")


def event_of(hit: Mapping[str, Any]) -> Event:
    """A document of telemetry."""
    source = hit["_source"]
    return Event(**_common(hit, source), **_times(source), title=_title(source))


def match_of(hit: Mapping[str, Any]) -> Match:
    """What a query hit; of a Sigma rule with its author, whom its licence wants named wherever a match is shown."""
    source, rule = hit["_source"], hit.get("sigma")
    facts = {**_common(hit, source), **_times(source), "title": _title(source)}
    if rule is not None:
        credited = f"{rule['title']} (rule by {rule['author']})" if rule.get("author") else rule["title"]
        fields = {**source, "sigma": {"rule": rule}}
        facts |= {"title": credited, "rule": rule["title"], "rule_id": rule.get("id"), "fields": fields}
    return Match(**facts)


def alert_of(hit: Mapping[str, Any], *, kibana: str | None = None) -> Alert:
    """An alert of the detection engine.

    Args:
        hit: as it was found.
        kibana: address of the space that links lead to.
    """
    source = hit["_source"]
    name, *_ = names = texts_at(source, *(f"{rule}.name" for rule in RULES)) or ("",)
    ids = texts_at(source, *(f"{rule}.{field}" for rule in RULES for field in ("rule_id", "uuid", "id")))
    original = moment_at(source, "kibana.alert.original_time", "signal.original_time")
    since = moment_at(source, "kibana.alert.threshold_result.from", "signal.threshold_result.from")
    return Alert(
        **_common(hit, source),
        title=_first(source, "kibana.alert.reason", "signal.reason") or name,
        rule=name or None,
        rule_id=next(iter(ids), None),
        rule_aliases=(*names[1:], *ids[1:], *texts_at(source, "kibana.alert.rule.parameters.name")),
        severity=_first(source, "kibana.alert.severity", "signal.rule.severity"),
        event_at=since or original,
        event_until=(original or moment_at(source, "@timestamp")) if since else None,
        created_at=moment_at(source, "@timestamp"),
        indexed_at=moment_at(source, "kibana.alert.original_event.ingested", "event.ingested"),
        prevention=_prevention(source),
        suppressed=bool(texts_at(source, "kibana.alert.building_block_type", "signal.rule.building_block_type")),
        url=_first(source, "kibana.alert.url") or _link(hit, source, kibana),
    )


def with_suppressed(hits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alerts, and each that suppressed others once more, for these: two versions of one record, by its id."""
    several = [hit for hit in hits if number_at(hit, f"_source.{SUPPRESSION}.docs_count")]
    return [*hits, *(hit | {"suppressed": True} for hit in several)]


def suppressed_by(alert: Alert, hit: Mapping[str, Any]) -> Alert:
    """What is known of the events that an alert suppressed: since when, until when, and in which terms they are alike.

    Everything else in the alert tells of its first event alone.
    """
    source = hit["_source"]
    terms = {
        field: values_at(term, "value")
        for term in values_at(source, f"{SUPPRESSION}.terms")
        for field in texts_at(term, "field")
    }
    since = [moment for moment in (alert.event_at, moment_at(source, f"{SUPPRESSION}.start")) if moment]
    known = _common(hit, terms) | {"techniques": alert.techniques, "fields": source}
    return msgspec.structs.replace(
        alert,
        **known,
        event_at=min(since, default=None),
        event_until=moment_at(source, f"{SUPPRESSION}.end", "kibana.alert.last_detected", "@timestamp"),
        created_at=moment_at(source, "kibana.alert.last_detected", "@timestamp"),
        prevention=Prevention.UNKNOWN,
    )


def _common(hit: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """What events and alerts tell alike."""
    parent = number_at(source, "process.parent.pid")
    return {
        "id": hit["_id"],
        "hosts": texts_at(source, *HOSTS),
        "addresses": texts_at(source, "host.ip"),
        "users": _users(source),
        "pid": number_at(source, "process.pid"),
        "ancestors": () if parent is None else (parent,),
        "commands": _commands(source),
        "hashes": texts_at(
            source,
            *(f"{what}.hash.{kind}" for what in ("process", "file", "dll") for kind in ("md5", "sha1", "sha256")),
        ),
        "techniques": _techniques(source),
        "fields": source,
    }


def _times(source: Mapping[str, Any]) -> dict[str, Any]:
    return {"event_at": moment_at(source, "@timestamp"), "indexed_at": moment_at(source, "event.ingested")}


def _title(source: Mapping[str, Any]) -> str:
    return _first(source, "message", "event.action", "process.name") or ""


def _users(source: Mapping[str, Any]) -> tuple[str, ...]:
    names, domain = texts_at(source, "user.name"), _first(source, "user.domain")
    return tuple(f"{domain}\\{name}" if domain else name for name in names) + texts_at(source, "user.id")


def _commands(source: Mapping[str, Any]) -> tuple[str, ...]:
    """The process's own, its parent's, and what PowerShell ran without a process."""
    paths = ("process.command_line", "powershell.file.script_block_text", "process.parent.command_line")
    return texts_at(source, *paths) or tuple(filter(None, [" ".join(texts_at(source, "process.args"))]))


def _techniques(source: Mapping[str, Any]) -> tuple[str, ...]:
    """Sub-techniques, and the techniques that have none. The rule for any alert of the endpoint leaves them to it."""
    below = texts_at(source, *(f"{path}.technique.subtechnique.id" for path in _TECHNIQUES))
    above = texts_at(source, *(f"{path}.technique.id" for path in _TECHNIQUES))
    return (*below, *(technique for technique in above if not any(sub.startswith(f"{technique}.") for sub in below)))


def _prevention(source: Mapping[str, Any]) -> Prevention:
    """What Elastic Defend told in the event that it alerted on. The name of an alert is no evidence."""
    event = "kibana.alert.original_event" if texts_at(source, "kibana.alert.original_event.kind") else "event"
    if "alert" not in texts_at(source, f"{event}.kind"):
        return Prevention.UNKNOWN
    types, outcome = texts_at(source, f"{event}.type"), texts_at(source, f"{event}.outcome")
    if "denied" in types and "success" in outcome:
        return Prevention.BLOCKED
    if _was_killed(source):
        return Prevention.TERMINATED
    return Prevention.NOT_BLOCKED if "allowed" in types or "denied" in types else Prevention.UNKNOWN


def _was_killed(source: Mapping[str, Any]) -> bool:
    """A response to what had begun."""
    actions, said = texts_at(source, "Responses.action.action"), texts_at(source, "Responses.message")
    return any("kill_process" in action for action in actions) and "Success" in said


def _link(hit: Mapping[str, Any], source: Mapping[str, Any], kibana: str | None) -> str | None:
    moment = _first(source, "@timestamp")
    if kibana is None or moment is None:
        return None
    index = quote(str(hit.get("_index", "")), safe="")
    alert = quote(str(hit["_id"]), safe="")
    return f"{kibana}/app/security/alerts/redirect/{alert}?index={index}&timestamp={quote(moment, safe='')}"


def _first(source: Mapping[str, Any], *paths: str) -> str | None:
    return next(iter(texts_at(source, *paths)), None)
