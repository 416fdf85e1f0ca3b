"""Rows of Splunk in core's words: fields of the Common Information Model, of Windows and Sysmon, and of notables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode

import msgspec

from checking_core import Alert, Event, Match, Prevention
from checking_core.matching.record import told
from checking_core.plugin.fields import moment_at, number_at, texts_at
from checking_plugin_splunk.queries import COMPUTERS, HOST_FIELDS

__all__ = ["alert_of", "event_of", "fired_of", "match_of"]

Row = Mapping[str, Any]

_LONGEST_TITLE = 300
_LONGEST_SPAN = 366 * 86_400
_OF_EVENTS = ("host", "dvc", "dest", "dest_host", "dest_nt_host", "dest_dns", *COMPUTERS)
"""``src`` is the other end of what was logged here; an alert speaks of both ends."""
_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")
_TECHNIQUES = (
    "annotations.mitre_attack",
    "annotations.mitre_attack.mitre_technique_id",
    "annotations",
    "mitre_attack_id",
    "mitre_technique_id",
    "mitre_technique",
)
_HASH = re.compile(r"(?<!IMPHASH=)\b(?:[0-9A-Fa-f]{64}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})\b")
_HASHES = ("process_hash", "file_hash", "Hashes", "hash", "SHA256", "MD5")
_COMMANDS = (
    "process",
    "CommandLine",
    "Process_Command_Line",
    "command_line",
    "ScriptBlockText",
    "parent_process",
    "ParentCommandLine",
)
_USERS = ("user", "User", "src_user", "user_id", "Account_Name")
_SEVERITIES = ("informational", "informational", "low", "medium", "high", "critical", "critical")
"""Of a fired alert, by its number, 1 to 6."""


def event_of(row: Row) -> Event:
    """A row of telemetry."""
    return Event(**_common(row, _OF_EVENTS), **_times(row), title=_title(row))


def match_of(row: Row, credit: Mapping[str, Any] | None = None) -> Match:
    """What a query hit; of a Sigma rule with its author, whom its licence wants named wherever a match is shown."""
    facts = {**_common(row, _OF_EVENTS), **_times(row), "title": _title(row)}
    if credit is not None:
        author = f" (rule by {credit['author']})" if credit.get("author") else ""
        fields = {**row, "sigma": {"rule": credit}}
        facts |= {"title": f"{credit['title']}{author}", "rule": credit["title"], "rule_id": credit.get("id")}
        facts["fields"] = fields
    return Match(**facts)


def alert_of(row: Row, *, prevented_when: Mapping[str, str] | None = None, web: str | None = None) -> Alert:
    """A notable event.

    Its own ``_time`` may be that of the rule's run: that of the event is told apart, as one moment, or as the first and
    last of several, or as the span that the rule has searched.

    Args:
        row: as it was found.
        prevented_when: fields and values that tell that something was blocked.
        web: address of Splunk Web, which links lead to.
    """
    names = texts_at(row, "rule_name", "search_name", "source", "rule_title")
    ids = texts_at(row, "search_name", "source")
    single = moment_at(row, "orig_time")
    first = single or moment_at(row, "firstTime", "info_min_time", "_time")
    last = None if single else moment_at(row, "lastTime", "info_max_time")
    common = _common(row, HOST_FIELDS)
    return Alert(
        **common | {"id": next(iter(texts_at(row, "event_id")), common["id"])},
        title=next(iter(texts_at(row, "rule_title", "rule_name", "search_name", "source")), ""),
        rule=names[0] if names else None,
        rule_id=ids[0] if ids else None,
        rule_aliases=(*names[1:], *ids[1:]),
        severity=next(iter(told(*texts_at(row, "severity", "urgency"))), None),
        event_at=first,
        event_until=last if first and last and last > first else None,
        created_at=moment_at(row, "_indextime", "_time"),
        prevention=_prevention(row, prevented_when),
        suppressed=any(kind.startswith("notable_suppression-") for kind in texts_at(row, "eventtype")),
        url=_link_to_notable(row, web),
    )


def fired_of(
    fired: Row, row: Row, number: int, *, prevented_when: Mapping[str, str] | None = None, web: str | None = None
) -> Alert:
    """A result of a saved search that fired.

    Args:
        fired: the alert.
        row: one result of its search; empty where there is none any more.
        number: which one.
        prevented_when: see ``alert_of``.
        web: see ``alert_of``.
    """
    name = next(iter(texts_at(fired, "savedsearch_name")), "")
    sid = next(iter(texts_at(fired, "sid")), "")
    severity = number_at(fired, "severity")
    times = _times(row)
    first = times.get("event_at") or moment_at(row, "firstTime", "orig_time")
    last = times.get("event_until") or moment_at(row, "lastTime")
    return Alert(
        **_common(row, ("host", *HOST_FIELDS))
        | {"id": f"{sid}:{number}", "fields": {**row, "fired_alert": dict(fired)}},
        title=name,
        rule=name or None,
        rule_id=name or None,
        severity=_SEVERITIES[severity] if severity is not None and 0 <= severity < len(_SEVERITIES) else None,
        event_at=first,
        event_until=last if first and last and last > first else None,
        created_at=moment_at(fired, "trigger_time"),
        indexed_at=moment_at(row, "_indextime"),
        prevention=_prevention(row, prevented_when),
        url=f"{web.rstrip('/')}/app/search/@go?{urlencode({'sid': sid})}" if web and sid else None,
    )


def _common(row: Row, host_fields: tuple[str, ...]) -> dict[str, Any]:
    """What events and alerts tell alike."""
    hosts = told(*texts_at(row, *host_fields))
    started = texts_at(row, "NewProcessId", "New_Process_ID")
    above = ("parent_process_id", "ParentProcessId", "Creator_Process_ID", *(("ProcessId",) if started else ()))
    parent = number_at(row, *above)
    return {
        "id": _id_of(row),
        "hosts": hosts,
        "addresses": tuple(text for text in (*hosts, *texts_at(row, "dest_ip", "src_ip")) if _is_address(text)),
        "users": told(*texts_at(row, *_USERS)),
        "pid": number_at(row, "process_id", "NewProcessId", "New_Process_ID", "ProcessId", "pid"),
        "ancestors": () if parent is None else (parent,),
        "commands": told(*texts_at(row, *_COMMANDS)),
        "hashes": tuple(dict.fromkeys(found for text in texts_at(row, *_HASHES) for found in _HASH.findall(text))),
        "techniques": _techniques(row),
        "fields": row,
    }


def _id_of(row: Row) -> str:
    """Where the event lies; a row that is the sum of several is named by what it says."""
    places = [*texts_at(row, "_bkt"), *texts_at(row, "_cd")]
    if len(places) == 2:
        return "@".join(places)
    said = {name: value for name, value in row.items() if name != "_serial"}
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


def _times(row: Row) -> dict[str, Any]:
    """When it happened: of a row that counts the events of a bin, somewhere in this."""
    start, indexed = moment_at(row, "_time"), moment_at(row, "_indextime")
    if start is None or "_span" not in row:
        return {"event_at": start, "indexed_at": indexed}
    span = number_at(row, "_span") or 0
    if not 0 < span <= _LONGEST_SPAN:
        return {"indexed_at": indexed}
    return {"event_at": start, "event_until": start + timedelta(seconds=span), "indexed_at": indexed}


def _title(row: Row) -> str:
    return next(iter(texts_at(row, "signature", "EventDescription", "_raw", "process", "sourcetype")), "")[
        :_LONGEST_TITLE
    ]


def _techniques(row: Row) -> tuple[str, ...]:
    found = (technique for text in texts_at(row, *_TECHNIQUES) for technique in _TECHNIQUE.findall(text))
    return tuple(dict.fromkeys(found))


def _prevention(row: Row, blocked_when: Mapping[str, str] | None) -> Prevention:
    """Splunk itself prevents nothing: only a field of the source may tell."""
    said = {field: texts_at(row, field) for field in blocked_when or {}}
    wanted = ((value.casefold(), said[field]) for field, value in (blocked_when or {}).items())
    if any(value in [text.casefold() for text in texts] for value, texts in wanted):
        return Prevention.BLOCKED
    return Prevention.NOT_BLOCKED if any(told(*texts) for texts in said.values()) else Prevention.UNKNOWN


def _link_to_notable(row: Row, web: str | None) -> str | None:
    """A search that shows it: in every version, with Enterprise Security and without."""
    moment, name = moment_at(row, "_time"), next(iter(texts_at(row, "search_name", "source")), "")
    index = next(iter(texts_at(row, "index")), "")
    if web is None or moment is None or not name or not index:
        return None
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    until = moment + timedelta(seconds=1)
    shown = {
        "q": f'search index="{index}" source="{escaped}"',
        "earliest": f"{moment.timestamp():.3f}",
        "latest": f"{until.timestamp():.3f}",
    }
    return f"{web.rstrip('/')}/app/search/search?{urlencode(shown)}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
