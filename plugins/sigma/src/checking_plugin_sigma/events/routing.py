"""Which log sources an event belongs to: by channel and event id, as the Sigma specification and its users have it.

A rule says ``product: windows, category: process_creation``; an event says ``Microsoft-Windows-Sysmon/Operational``
and ``1``. A rule is only asked about events of its log source, and where there are none it says nothing at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

__all__ = ["UNKNOWN", "Logsource", "Route", "event_ids_of", "route_of", "said_route"]


class Logsource(NamedTuple):
    """What a rule is about. ``None``: whatever it is."""

    product: str | None = None
    category: str | None = None
    service: str | None = None


class Route(NamedTuple):
    """Where an event belongs."""

    product: str | None = None
    categories: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()

    def serves(self, wanted: Logsource) -> bool:
        """Whether a rule of this log source is about such events."""
        return (
            wanted.product in (None, self.product)
            and (wanted.category is None or wanted.category in self.categories)
            and (wanted.service is None or wanted.service in self.services)
        )


UNKNOWN = Route()

_SYSMON = {
    1: "process_creation",
    2: "file_change",
    3: "network_connection",
    4: "sysmon_status",
    5: "process_termination",
    6: "driver_load",
    7: "image_load",
    8: "create_remote_thread",
    9: "raw_access_thread",
    10: "process_access",
    11: "file_event",
    12: "registry_event",
    13: "registry_event",
    14: "registry_event",
    15: "create_stream_hash",
    16: "sysmon_status",
    17: "pipe_created",
    18: "pipe_created",
    19: "wmi_event",
    20: "wmi_event",
    21: "wmi_event",
    22: "dns_query",
    23: "file_delete",
    24: "clipboard_change",
    25: "process_tampering",
    26: "file_delete_detected",
    27: "file_block_executable",
    28: "file_block_shredding",
    29: "file_executable_detected",
    255: "sysmon_error",
}
_REGISTRY = {
    (12, "createkey"): "registry_add",
    (12, "deletekey"): "registry_delete",
    (12, "deletevalue"): "registry_delete",
    (13, ""): "registry_set",
    (14, ""): "registry_rename",
}
_ANTIVIRUS = frozenset({*range(1006, 1013), 1017, 1018, 1019, 1115, 1116})
_CATEGORIES: Mapping[str, Mapping[int, str]] = {
    "sysmon": _SYSMON,
    "security": {4688: "process_creation"},
    "powershell": {4103: "ps_module", 4104: "ps_script"},
    "powershell-classic": {400: "ps_classic_start", 600: "ps_classic_provider_start", 800: "ps_classic_script"},
    "windefend": dict.fromkeys(_ANTIVIRUS, "antivirus"),
}
_MICROSOFT = {
    "application-experience": (
        "application-experience/program-telemetry",
        "application-experience/program-compatibility-assistant",
    ),
    "applocker": (
        "applocker/msi and script",
        "applocker/exe and dll",
        "applocker/packaged app-deployment",
        "applocker/packaged app-execution",
    ),
    "appmodel-runtime": ("appmodel-runtime/admin",),
    "appxdeployment-server": ("appxdeploymentserver/operational",),
    "appxpackaging-om": ("appxpackaging/operational",),
    "bitlocker": ("bitlocker/bitlocker management",),
    "bits-client": ("bits-client/operational",),
    "capi2": ("capi2/operational",),
    "certificateservicesclient-lifecycle-system": ("certificateservicesclient-lifecycle-system/operational",),
    "codeintegrity-operational": ("codeintegrity/operational",),
    "dhcp": ("dhcp-server/operational",),
    "diagnosis-scripted": ("diagnosis-scripted/operational",),
    "dns-client": ("dns client events/operational", "dns-client/operational"),
    "firewall-as": ("windows firewall with advanced security/firewall",),
    "hyper-v-worker": ("hyper-v-worker",),
    "kernel-event-tracing": ("kernel-eventtracing",),
    "kernel-shimengine": ("kernel-shimengine/operational", "kernel-shimengine/diagnostic"),
    "ldap": ("ldap-client/debug",),
    "lsa-server": ("lsa/operational",),
    "ntfs": ("ntfs/operational",),
    "ntlm": ("ntlm/operational",),
    "powershell": ("powershell/operational",),
    "printservice-admin": ("printservice/admin",),
    "printservice-operational": ("printservice/operational",),
    "security-mitigations": ("security-mitigations/kernel mode", "security-mitigations/user mode"),
    "sense": ("sense/operational",),
    "shell-core": ("shell-core/operational",),
    "smbclient-connectivity": ("smbclient/connectivity",),
    "smbclient-security": ("smbclient/security",),
    "smbserver-connectivity": ("smbserver/connectivity",),
    "sysmon": ("sysmon/operational",),
    "taskscheduler": ("taskscheduler/operational",),
    "terminalservices-localsessionmanager": ("terminalservices-localsessionmanager/operational",),
    "vhdmp": ("vhdmp/operational",),
    "windefend": ("windows defender/operational",),
    "wmi": ("wmi-activity/operational",),
}
"""By Sigma service: channels that begin with ``Microsoft-Windows-``."""
_OTHERS = {
    "application": "application",
    "linux-sysmon/operational": "sysmon",
    "microsoft-iis-configuration/operational": "iis-configuration",
    "microsoft-servicebus-client/admin": "servicebus-client",
    "microsoft-servicebus-client/operational": "servicebus-client",
    "msexchange management": "msexchange-management",
    "openssh/operational": "openssh",
    "powershellcore/operational": "powershell",
    "security": "security",
    "system": "system",
    "windows powershell": "powershell-classic",
}
_SERVICES = _OTHERS | {
    f"microsoft-windows-{channel}": service for service, channels in _MICROSOFT.items() for channel in channels
}


def _ids_by_category() -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for categories in _CATEGORIES.values():
        for number, category in categories.items():
            found.setdefault(category, set()).add(number)
    for (number, _), category in _REGISTRY.items():
        found.setdefault(category, set()).add(number)
    return found


_IDS = _ids_by_category()
_LONGEST_ID = 10


@lru_cache(maxsize=4096)
def route_of(channel: str, event_id: str, event_type: str = "") -> Route:
    """The route of an event of the Windows event log, or of Sysmon for Linux.

    Args:
        channel: as it is written.
        event_id: a number as text; anything else belongs to no category.
        event_type: Sysmon's, which tells registry events apart.
    """
    channel = channel.lower()
    product = "linux" if channel.startswith("linux-") else "windows"
    service = _SERVICES.get(channel)
    if service is None:
        return Route(product)
    number = int(event_id) if event_id.isascii() and event_id.isdigit() and len(event_id) <= _LONGEST_ID else -1
    found = {_CATEGORIES.get(service, {}).get(number)}
    if service == "sysmon":
        found |= {_REGISTRY.get((number, event_type.lower())), _REGISTRY.get((number, ""))}
    return Route(product, frozenset(filter(None, found)), frozenset({service}))


@lru_cache(maxsize=1024)
def said_route(product: str | None, category: str | None, service: str | None) -> Route:
    """The route that somebody named outright."""
    product, category, service = (text.strip().lower() if text else None for text in (product, category, service))
    return Route(product, frozenset({category} if category else ()), frozenset({service} if service else ()))


def event_ids_of(wanted: Iterable[Logsource]) -> frozenset[int] | None:
    """The ids of all events that these log sources can be about; ``None`` if they may have any."""
    found: set[int] = set()
    for logsource in wanted:
        ids = _IDS.get(logsource.category or "")
        if not ids:
            return None
        found |= ids
    return frozenset(found)
