"""One record of any collector becomes an event under Sigma's names. Pure.

Events are translated, not rules: the windows event log as ``evtx`` tools, Winlogbeat (6, 7 and later) and NXLog write
it, Sysmon for Linux, auditd, journald, and any JSON that names its log source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from checking_plugin_sigma.events.instant import since_1970
from checking_plugin_sigma.events.model import Event, Fields, text_of
from checking_plugin_sigma.events.routing import UNKNOWN, Route, route_of, said_route

__all__ = ["event_of"]

_OF_NXLOG = ("host", "@metadata", "tags", "@version", "port", "SourceModuleType", "SourceModuleName", "type", "beat")
"""What the collector says of itself: no part of the event."""
_SEVERITIES = frozenset({"INFO", "AUDIT_SUCCESS", "AUDIT_FAILURE", "VERBOSE", "WARNING", "ERROR", "DEBUG", "CRITICAL"})
_LABELS = {
    "s-1-16-4096": "Low",
    "s-1-16-8192": "Medium",
    "s-1-16-8448": "Medium",
    "s-1-16-12288": "High",
    "s-1-16-16384": "System",
}
_STARTED = {
    "NewProcessName": "Image",
    "ParentProcessName": "ParentImage",
    "SubjectUserName": "User",
    "SubjectLogonId": "LogonId",
}
_THREATS = {"ThreatName": "Signature", "Path": "Filename"}
_AUTHENTICATION = frozenset({"4", "10"})
_DEEPEST = 16


def event_of(record: Mapping[str, Any], line: int, raw: bytes, said: Route | None = None) -> Event:
    """The event that a record tells of.

    Args:
        record: as it was decoded.
        line: of the file, counted from 1.
        raw: the text it was decoded from.
        said: where it belongs, if somebody named that for the whole file.
    """
    for applies, reader in _SHAPES:
        if applies(record):
            fields, route = reader(record)
            break
    else:
        fields, route = _plain(record)
    return Event(fields, said or route, line, raw)


def _is_evtx(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("Event"), dict)


def _is_winlogbeat(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("winlog"), dict)


def _is_winlogbeat_6(record: Mapping[str, Any]) -> bool:
    return "log_name" in record and "event_id" in record


def _is_flat(record: Mapping[str, Any]) -> bool:
    return "Channel" in record and "EventID" in record


def _of_evtx(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    event = record["Event"]
    told: dict[str, Any] = {}
    for name, value in _mapping(event.get("System")).items():
        if name == "EventID":
            told[name] = value.get("#text") if isinstance(value, dict) else value
        elif name == "Provider":
            told["Provider_Name"] = _attribute(value, "Name")
        elif name == "TimeCreated":
            told["SystemTime"] = _attribute(value, "SystemTime")
        elif not isinstance(value, dict):
            told[name] = value
    for part in ("EventData", "UserData"):
        told |= {name: _evtx_value(value) for name, value in _evtx_data(event.get(part)).items()}
    return _of_windows(_flattened(told))


def _evtx_data(part: Any) -> Mapping[str, Any]:
    """The data of an event; ``UserData`` has an element around it."""
    data = {name: value for name, value in _mapping(part).items() if name != "#attributes"}
    inner = next(iter(data.values()), None)
    wrapped = len(data) == 1 and isinstance(inner, dict) and "#text" not in inner
    return {name: value for name, value in _mapping(inner).items() if name != "#attributes"} if wrapped else data


def _evtx_value(value: Any) -> Any:
    text = value.get("#text", value) if isinstance(value, dict) else value
    return "\n".join(_scalar(item) for item in text if item is not None) if isinstance(text, list) else text


def _attribute(value: Any, name: str) -> Any:
    return _mapping(_mapping(value).get("#attributes")).get(name)


def _of_winlogbeat(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    told = record["winlog"]
    names = {"Channel": "channel", "EventID": "event_id", "Computer": "computer_name", "Provider_Name": "provider_name"}
    return _of_beats(told, {ours: told.get(theirs) for ours, theirs in names.items()}, record)


def _of_winlogbeat_6(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    names = {"Channel": "log_name", "EventID": "event_id", "Computer": "computer_name", "Provider_Name": "source_name"}
    return _of_beats(record, {ours: record.get(theirs) for ours, theirs in names.items()}, record)


def _of_beats(told: Mapping[str, Any], named: dict[str, Any], record: Mapping[str, Any]) -> tuple[Fields, Route]:
    data = {**_mapping(told.get("event_data")), **_mapping(told.get("user_data"))}
    around = {"Message": record.get("message"), "@timestamp": record.get("@timestamp")}
    return _of_windows(_flattened({**data, **named, **around}))


def _of_nxlog(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    """Flat, as NXLog and many others write it. Its own ``EventType`` hides Sysmon's, which it keeps misspelt."""
    fields = _flattened(record, without=_OF_NXLOG)
    for ours, theirs in (("Computer", "Hostname"), ("Provider_Name", "SourceName")):
        if theirs in fields:
            fields.setdefault(ours, fields[theirs])
    if "EventTypeOrignal" in fields:
        fields["EventType"] = fields.pop("EventTypeOrignal")
    elif fields.get("EventType") in _SEVERITIES:
        del fields["EventType"]
    return _of_windows(fields)


def _of_windows(fields: Fields) -> tuple[Fields, Route]:
    if " " in "".join(fields):
        for name in [name for name in fields if " " in name]:
            fields.setdefault(name.replace(" ", ""), fields[name])
    channel, event_id = text_of(fields, "Channel"), text_of(fields, "EventID")
    route = route_of(channel, event_id, text_of(fields, "EventType"))
    if event_id == "4688" and "process_creation" in route.categories:
        _as_process_creation(fields)
    elif "antivirus" in route.categories:
        _under_other_names(fields, _THREATS)
    elif "powershell-classic" in route.services and "Message" in fields:
        fields.setdefault("Data", fields["Message"])
    return fields, route


def _as_process_creation(fields: Fields) -> None:
    """Security 4688 under the names of Sysmon 1, with decimal process ids: both record the start of a process."""
    _under_other_names(fields, _STARTED)
    if started := text_of(fields, "NewProcessId"):
        if parent := text_of(fields, "ProcessId"):
            fields["ParentProcessId"] = _decimal(parent)
        fields["ProcessId"] = _decimal(started)
    if label := text_of(fields, "MandatoryLabel"):
        fields["IntegrityLevel"] = _LABELS.get(label.lower(), label)


def _under_other_names(fields: Fields, names: Mapping[str, str]) -> None:
    for theirs, ours in names.items():
        if theirs in fields:
            fields.setdefault(ours, fields[theirs])


def _decimal(number: str) -> str:
    try:
        return str(int(number, 0))
    except ValueError:
        return number


def _of_journal(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    fields = _flattened(record)
    moment = since_1970(f"{text_of(fields, '__REALTIME_TIMESTAMP')}e-6")
    if moment is not None:
        fields["UtcTime"] = moment.isoformat()
    if "_HOSTNAME" in fields:
        fields.setdefault("Computer", fields["_HOSTNAME"])
    services = {"syslog", text_of(fields, "SYSLOG_IDENTIFIER", "_COMM").lower()} - {""}
    if text_of(fields, "SYSLOG_FACILITY") in _AUTHENTICATION:
        services.add("auth")
    return fields, Route("linux", frozenset(), frozenset(services))


def _plain(record: Mapping[str, Any]) -> tuple[Fields, Route]:
    """Any other JSON: it may name its log source, or be one that is known by its fields."""
    told = record.get("logsource")
    if isinstance(told, dict):
        names = (told.get(name) for name in ("product", "category", "service"))
        route = said_route(*(name if isinstance(name, str) else None for name in names))
        return _flattened(record, without=("logsource",)), route
    route = said_route("aws", None, "cloudtrail") if {"eventSource", "awsRegion"} <= record.keys() else UNKNOWN
    return _flattened(record), route


_Shape = tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], tuple[Fields, Route]]]
_SHAPES: tuple[_Shape, ...] = (
    (_is_flat, _of_nxlog),
    (_is_evtx, _of_evtx),
    (_is_winlogbeat, _of_winlogbeat),
    (_is_winlogbeat_6, _of_winlogbeat_6),
    (lambda record: "__REALTIME_TIMESTAMP" in record, _of_journal),
)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _flattened(record: Mapping[str, Any], without: tuple[str, ...] = ()) -> Fields:
    """Texts by name; what is nested gets names with dots. ``null`` is as good as absent."""
    fields: Fields = {}
    for name, value in record.items():
        kind = type(value)
        if kind is str:
            fields[name] = value
        elif value is not None and name not in without:
            if kind is int:
                fields[name] = str(value)
            else:
                _put(fields, name, value, _DEEPEST)
    for name in without:
        fields.pop(name, None)
    return fields


def _put(fields: Fields, name: str, value: Any, depth: int) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if inner is not None and depth:
                _put(fields, f"{name}.{key}", inner, depth - 1)
    elif isinstance(value, list):
        _put_list(fields, name, value, depth)
    else:
        fields[name] = _scalar(value)


def _put_list(fields: Fields, name: str, items: list[Any], depth: int) -> None:
    """The elements of a list; what its objects hold is gathered under one name."""
    plain = tuple(_texts(items, depth))
    if plain:
        fields[name] = plain
    for item in items:
        if isinstance(item, dict) and depth:
            own: Fields = {}
            _put(own, name, item, depth - 1)
            for key, value in own.items():
                known = fields.get(key, ())
                fields[key] = (*_tuple(known), *_tuple(value))


def _texts(items: list[Any], depth: int) -> Iterator[str]:
    for item in items:
        if isinstance(item, list) and depth:
            yield from _texts(item, depth - 1)
        elif item is not None and not isinstance(item, dict):
            yield _scalar(item)


def _tuple(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
