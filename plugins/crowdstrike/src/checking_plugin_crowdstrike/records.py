"""Alerts and hosts of Falcon in core's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from checking_core import Alert, Event
from checking_core.plugin.fields import moment_at, number_at, texts_at
from checking_plugin_crowdstrike.disposition import prevention_of

__all__ = ["alert_of", "host_of"]

_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
"""Of ATT&CK: CrowdStrike has ids of its own besides, such as CST0007, to which no execution can be held."""
_HOSTS = (
    "device.hostname",
    "device.device_id",
    "agent_id",
    "host_names",
    "source_endpoint_host_name",
    "source_endpoint_sensor_id",
    "cloud_account_id",
    "resource_id",
)
"""Names of what an alert is about: an endpoint; the one from which an identity was used; an account of a cloud."""
_ADDRESSES = ("device.local_ip", "source_endpoint_address_ip4", "source_endpoint_address_ip6", "source_ip_address")
_RULES = ("display_name", "name", "idp_policy_rule_name", "policy_statement")
_RULE_IDS = ("rule_id", "pattern_id", "rule_instance_id", "template_instance_id")


def alert_of(resource: Mapping[str, Any], *, console: str | None = None) -> Alert:
    """An alert, of whichever product of CrowdStrike.

    Args:
        resource: as it was found.
        console: address of the pages that links lead to.
    """
    names, ids = texts_at(resource, *_RULES), texts_at(resource, *_RULE_IDS)
    since = moment_at(resource, "first_timestamp", "start_time")
    until = moment_at(resource, "last_timestamp", "end_time")
    return Alert(
        id=_id_of(resource, "composite_id"),
        title=next(iter(texts_at(resource, "description", "display_name", "name")), ""),
        hosts=texts_at(resource, *_HOSTS),
        addresses=texts_at(resource, *_ADDRESSES),
        users=_users(resource),
        pid=number_at(resource, "local_process_id"),
        ancestors=_ancestors(resource),
        commands=texts_at(resource, "cmdline", "parent_details.cmdline"),
        hashes=texts_at(resource, "sha256", "sha1", "md5"),
        techniques=_techniques(resource),
        rule=next(iter(names), None),
        rule_id=next(iter(ids), None),
        rule_aliases=(*names[1:], *ids[1:]),
        severity=next(iter(texts_at(resource, "severity_name", "severity")), None),
        event_at=since or moment_at(resource, "timestamp", "context_timestamp"),
        event_until=until if since is not None and until != since else None,
        created_at=moment_at(resource, "created_timestamp", "crawled_timestamp"),
        prevention=prevention_of(resource),
        suppressed=resource.get("show_in_ui") is False,
        url=_link(resource, console),
        fields=resource,
    )


def host_of(resource: Mapping[str, Any]) -> Event:
    """A host as a sign of life, from its first contact with Falcon to the last one.

    A sensor keeps what it sees while it is offline and hands it over at its next contact: one that has been in contact
    since an execution has told of it, whenever that was.
    """
    first, last = moment_at(resource, "first_seen"), moment_at(resource, "last_seen")
    return Event(
        id=_id_of(resource, "device_id"),
        title=f"sensor {next(iter(texts_at(resource, 'agent_version')), '')}".strip(),
        hosts=texts_at(resource, "hostname", "device_id"),
        addresses=texts_at(resource, "local_ip"),
        event_at=first or last,
        event_until=last,
        fields=resource,
    )


def _id_of(resource: Mapping[str, Any], name: str) -> str:
    if found := texts_at(resource, name):
        return found[0]
    raise LookupError(f"there is no {name}")


def _users(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Names, with the domain of each where that is told, and ids."""
    named = (("user_name", "logon_domain"), ("source_account_name", "source_account_domain"))
    found = []
    for name, domain in named:
        domains = texts_at(resource, domain)
        found += [f"{domains[0]}\\{one}" if domains else one for one in texts_at(resource, name)]
    others = texts_at(resource, "user_principal", "source_account_upn", "user_id", "source_account_object_sid")
    return tuple(dict.fromkeys((*found, *others)))


def _ancestors(resource: Mapping[str, Any]) -> tuple[int, ...]:
    above = (number_at(resource, f"{who}.local_process_id") for who in ("parent_details", "grandparent_details"))
    return tuple(pid for pid in above if pid is not None)


def _techniques(resource: Mapping[str, Any]) -> tuple[str, ...]:
    told = texts_at(resource, "technique_id", "mitre_attack.technique_id")
    return tuple(technique for technique in told if _TECHNIQUE.fullmatch(technique))


def _link(resource: Mapping[str, Any], console: str | None) -> str | None:
    """Falcon's own link, or the page of an endpoint's alert."""
    told = next(iter(texts_at(resource, "falcon_host_link")), "")
    if told.startswith("https://"):
        return told
    if console is None or resource.get("product") != "epp":
        return None
    return f"{console}/activity-v2/detections/{quote(_id_of(resource, 'composite_id'), safe=':')}"
