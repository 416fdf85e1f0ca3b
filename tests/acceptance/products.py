"""What each fake product holds of one operation, how it is asked, and what must come of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tests.fakes import Request
from tests.fakes.splunk import COUNTS

__all__ = ["PRODUCTS", "WANTED", "Execution", "Product", "executions_of", "expectations"]

KEY = "of a fake"
_RULE = "Identify active user"
_SILENT_RULE = "Files listed"
_NOISY_RULE = "Processes listed"
_TIMES = {"before_reported_time": 30, "after_reported_time": 2, "settle": 0, "poll_interval": 1, "timeout": 5}

WHEN = {
    "user": {"command": "^whoami$"},
    "accounts": {"technique": "T1087.001"},
    "files": {"technique": "T1083"},
    "processes": {"technique": "T1057"},
    "time": {"technique": "T1124"},
}
WANTED = {"user": "alerted", "accounts": "logged", "files": "none", "processes": "no_alert", "time": "matched"}
"""The outcome of each expectation, on every product that can be asked for all of it."""


class Execution(NamedTuple):
    """What a product saw of one."""

    host: str
    command: str
    pid: int
    at: datetime


class Product(NamedTuple):
    """A fake.

    Attributes:
        app: import string of the fake.
        settings: without their prefix, for its address.
        records: what it holds of an operation.
        asked: the sections of each expectation.
        distinct: by number, a question that no other look asks, so that no answer serves two.
        searches: part of the path of a request that is a search.
        wanted: the outcome of each expectation.
        found: the outcome of a distinct question.
        whole: the searches that these requests are, where each takes several.
    """

    app: str
    settings: Callable[[str], dict[str, str]]
    records: Callable[[Sequence[Execution]], Any]
    asked: Mapping[str, dict[str, Any]]
    distinct: Callable[[int], dict[str, Any]]
    searches: str
    wanted: Mapping[str, str] = WANTED
    found: str = "logged"
    whole: Callable[[Sequence[Request]], Sequence[Request]] = list


def executions_of(messages: Sequence[str]) -> list[Execution]:
    """The executions of messages, but for the cleanup."""
    told = [one["execution"] for one in map(json.loads, messages) if one["message_type"] == "link_result"]
    return [
        Execution(one["agent_host"], one["plaintext_command"], one["pid"], datetime.fromisoformat(one["collect"]))
        for one in told
        if not one["cleanup"]
    ]


def expectations(deadline: float) -> dict[str, Any]:
    """All products are asked everything; a no is a no after the deadline."""
    asked = [
        {"id": f"{name}-{product}", "when": when, "backend": product, **_TIMES, "deadline": deadline, **sections[name]}
        for product, sections in ((product, one.asked) for product, one in PRODUCTS.items())
        for name, when in WHEN.items()
    ]
    return {"version": 1, "expectations": asked}


_ALERTS = ".internal.alerts-security.alerts-default-000001"
_EVENTS = "logs-endpoint.events.process-default"
_ALIVE = "logs-system.system-default"
_EQL = "process where host.name == ${agent_host} and process.command_line like~ "


def _trace(command: str) -> dict[str, Any]:
    return {"telemetry": {"index": "logs-endpoint.*", "language": "eql", "query": f'{_EQL}"{command}"'}}


_ELASTIC_ALIVE = {"alive": {"index": "logs-system.*", "query": "host.name: ${agent_host}"}}


def _in_elastic(executions: Sequence[Execution]) -> dict[str, Any]:
    """Events of some executions, an alert on one of them, the alert of another rule's host, and signs of life."""
    seen = [one for one in executions if one.command.startswith(("whoami", "cut ", "date "))]
    alerts = [_elastic_alert(one, _RULE) for one in executions if one.command == "whoami"]
    alerts += [_elastic_alert(one._replace(host="elsewhere"), _NOISY_RULE) for one in executions if "ps" in one.command]
    return {
        "api_key": KEY,
        "indices": {
            _ALERTS: alerts,
            _EVENTS: [_elastic_event(one) for one in seen],
            _ALIVE: [
                {"_id": f"up-{one.pid}", "@timestamp": one.at.isoformat(), "host.name": one.host} for one in executions
            ],
        },
    }


def _elastic_event(one: Execution) -> dict[str, Any]:
    return {
        "_id": f"event-{one.pid}",
        "@timestamp": one.at.isoformat(),
        "event.category": "process",
        "host.name": one.host,
        "process.pid": one.pid,
        "process.command_line": one.command,
    }


def _elastic_alert(one: Execution, rule: str) -> dict[str, Any]:
    return {
        **_elastic_event(one),
        "_id": f"alert-{one.pid}",
        "@timestamp": (one.at + timedelta(seconds=0.2)).isoformat(),
        "kibana.alert.original_time": one.at.isoformat(),
        "kibana.alert.rule.name": rule,
        "kibana.alert.severity": "low",
    }


_CROWDSTRIKE_ALIVE = {"alive": {"query": "hostname:${host_names}"}}


def _in_crowdstrike(executions: Sequence[Execution]) -> dict[str, Any]:
    """An alert on some executions, one that was blocked, that of another rule's host, and the host's sensor."""
    alerts = [_crowdstrike_alert(one, _RULE) for one in executions if one.command.startswith("whoami")]
    alerts += [
        _crowdstrike_alert(one, "Accounts listed") | {"pattern_disposition": 2048}
        for one in executions
        if one.command.startswith("cut ")
    ]
    alerts += [
        _crowdstrike_alert(one._replace(host="elsewhere"), _NOISY_RULE) for one in executions if "ps" in one.command
    ]
    first, last = (f(one.at for one in executions).isoformat() for f in (min, max))
    devices = [
        {"device_id": f"id-of-{host}", "hostname": host, "first_seen": first, "last_seen": last}
        for host in sorted({one.host for one in executions})
    ]
    return {"client": ["id", KEY], "alerts": alerts, "devices": devices}


def _crowdstrike_alert(one: Execution, rule: str) -> dict[str, Any]:
    return {
        "composite_id": f"alert-{one.pid}",
        "product": "epp",
        "display_name": rule,
        "device": {"hostname": one.host},
        "local_process_id": str(one.pid),
        "cmdline": one.command,
        "timestamp": one.at.isoformat(),
        "created_timestamp": (one.at + timedelta(seconds=0.2)).isoformat(),
        "severity_name": "Low",
    }


_SPLUNK_ALIVE = {"alive": {"query": "index=os host=${agent_host}"}}
_SPL = "index=wineventlog host=${agent_host} process="


def _splunk_trace(command: str) -> dict[str, Any]:
    return {"telemetry": {"query": f'{_SPL}"{command}"'}}


def _in_splunk(executions: Sequence[Execution]) -> dict[str, Any]:
    """The same in Splunk, its alerts as notable events."""
    seen = [one for one in executions if one.command.startswith(("whoami", "cut ", "date "))]
    alerts = [_notable(one, _RULE) for one in executions if one.command == "whoami"]
    alerts += [_notable(one._replace(host="elsewhere"), _NOISY_RULE) for one in executions if "ps" in one.command]
    return {
        "token": KEY,
        "indexes": {
            "notable": alerts,
            "wineventlog": [_splunk_event(one) for one in seen],
            "os": [{"_time": one.at.isoformat(), "host": one.host} for one in executions],
        },
    }


def _splunk_event(one: Execution) -> dict[str, Any]:
    return {"_time": one.at.isoformat(), "host": one.host, "process_id": str(one.pid), "process": one.command}


def _notable(one: Execution, rule: str) -> dict[str, Any]:
    raised = one.at + timedelta(seconds=0.2)
    return {
        **_splunk_event(one),
        "_time": raised.isoformat(),
        "_indextime": str(raised.timestamp()),
        "host": "search-head",
        "dest": one.host,
        "event_id": f"alert-{one.pid}",
        "orig_time": str(one.at.timestamp()),
        "search_name": f"Endpoint - {rule} - Rule",
        "rule_name": rule,
        "severity": "low",
    }


def _jobs_in(requests: Sequence[Request]) -> list[Request]:
    """Each job from the first look at it to its deletion, but those that only look for an index now and then."""
    found: dict[str, Request] = {}
    for one in requests:
        sid = one.path.partition("/jobs/")[2].partition("/")[0]
        if not sid.endswith(COUNTS):
            found[sid] = found.get(sid, one)._replace(ended=one.ended)
    return list(found.values())


PRODUCTS: dict[str, Product] = {
    "crowdstrike": Product(
        app="tests.fakes.crowdstrike:create_app",
        settings=lambda url: {"BASE_URL": url, "CLIENT_ID": "id", "CLIENT_SECRET": KEY},
        records=_in_crowdstrike,
        asked={
            "user": {"alert": {"query": "device.hostname:${agent_host}+cmdline:'whoami'"}, **_CROWDSTRIKE_ALIVE},
            "accounts": {"alert": {"rule": "Accounts listed"}, "prevention": True},
            "files": {"alert": {"rule": _SILENT_RULE}, **_CROWDSTRIKE_ALIVE},
            "processes": {"alert": {"rule": _NOISY_RULE}},
            "time": {"telemetry": {"query": "cmdline:'date -u*'"}},
        },
        distinct=lambda number: {"alert": {"query": f"cmdline:'whoami {number}'"}},
        searches="/alerts/combined/",
        wanted={
            **dict.fromkeys(("files", "processes"), "no_alert"),
            "user": "alerted",
            "accounts": "blocked",
            "time": "not_applicable",
        },
        found="alerted",
    ),
    "elastic": Product(
        app="tests.fakes.elastic:create_app",
        settings=lambda url: {"URL": url, "API_KEY": KEY},
        records=_in_elastic,
        asked={
            "user": {"alert": {"rule": _RULE}, **_trace("whoami")},
            "accounts": {"alert": {"rule": "Accounts listed"}, **_trace("*passwd*"), **_ELASTIC_ALIVE},
            "files": {"alert": {"rule": _SILENT_RULE}, **_trace("ls"), **_ELASTIC_ALIVE},
            "processes": {"alert": {"rule": _NOISY_RULE}},
            "time": {"rule": {"index": "logs-endpoint.*", "language": "eql", "query": f'{_EQL}"date -u*"'}},
        },
        distinct=lambda number: _trace(f"*whoami {number}*"),
        searches="/_eql/search",
    ),
    "splunk": Product(
        app="tests.fakes.splunk:create_app",
        settings=lambda url: {"URL": url, "TOKEN": KEY},
        records=_in_splunk,
        asked={
            "user": {"alert": {"rule": _RULE}, **_splunk_trace("whoami")},
            "accounts": {"alert": {"rule": "Accounts listed"}, **_splunk_trace("*passwd*"), **_SPLUNK_ALIVE},
            "files": {"alert": {"rule": _SILENT_RULE}, **_splunk_trace("ls"), **_SPLUNK_ALIVE},
            "processes": {"alert": {"rule": _NOISY_RULE}},
            "time": {"rule": {"query": f'{_SPL}"date -u*"'}},
        },
        distinct=lambda number: _splunk_trace(f"*whoami {number}*"),
        searches="/search/v2/jobs/",
        whole=_jobs_in,
    ),
}
