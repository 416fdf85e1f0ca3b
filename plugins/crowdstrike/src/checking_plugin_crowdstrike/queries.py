"""Questions as requests to Falcon. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from checking_core import Ask, QueryInvalidError, SearchRequest
from checking_plugin_crowdstrike.client import Call
from checking_plugin_crowdstrike.fql import any_of, literal, moment, own_condition, refuse_other_language

__all__ = ["ALERTS", "HOSTS", "Asked", "asked", "host_named", "newest"]

_MOST_ROWS = 1000
"""Of a page."""
_LONGEST = 6000
"""Signs of a filter that stands in an address: Falcon's gateways refuse addresses of more than eight thousand."""


class Store(NamedTuple):
    """What can be searched: its route, the scope it needs, and how its pages are gone through."""

    method: Any
    path: str
    scope: str
    cursor: str
    """The parameter that asks for the page behind a cursor."""
    next_cursor: str
    """Where an answer tells that cursor."""
    time: str
    """The field that its newest record is told by."""
    id: str
    """The field that tells its records apart."""


ALERTS = Store(
    "POST", "/alerts/combined/alerts/v1", "Alerts: Read", "after", "after", "created_timestamp", "composite_id"
)
HOSTS = Store("GET", "/devices/combined/devices/v1", "Hosts: Read", "offset", "next", "last_seen", "device_id")


class Asked(NamedTuple):
    """A search of a store, page by page."""

    store: Store
    condition: str
    sort: str
    size: int = _MOST_ROWS

    def page(self, cursor: str | None = None) -> Call:
        """The request for the page behind a cursor, or for the first."""
        told: dict[str, Any] = {"filter": self.condition, "sort": self.sort, "limit": self.size}
        if cursor is not None:
            told[self.store.cursor] = cursor
        if not self.condition:
            del told["filter"]
        if self.store.method == "POST":
            return Call("POST", self.store.path, self.store.scope, body=told)
        return Call("GET", self.store.path, self.store.scope, params=told)

    @property
    def words(self) -> str:
        """How it is told to people."""
        call = self.page()
        return f"{call.method} {call.path} {json.dumps(dict(call.body or call.params), ensure_ascii=False)}"


def asked(request: SearchRequest) -> Asked:
    """The search for a question.

    Raises:
        QueryInvalidError: says what to change.
    """
    refuse_other_language(request.language)
    own = [own_condition(request.query)] if request.query else []
    since = moment(request.window.start)
    if request.ask is Ask.ALIVE:
        if not own:
            raise QueryInvalidError("there is no query")
        if len(quote(own[0])) > _LONGEST:
            raise QueryInvalidError(f"the filter of hosts is longer than {_LONGEST} signs, which no address can be")
        return _search(HOSTS, [f"last_seen:>={since}", *own], min(request.limit, _MOST_ROWS))
    until = moment(request.window.end, up=True)
    narrowing = [_of_hosts(request.hosts)] if request.hosts else []
    created = [f"created_timestamp:>={since}", f"created_timestamp:<={until}"]
    return _search(ALERTS, [*created, *narrowing, *own], min(request.limit, _MOST_ROWS))


def newest(store: Store, condition: str = "") -> Asked:
    """The search for the newest record that meets a condition."""
    return Asked(store, condition, f"{store.time}|desc", size=1)


def host_named(name: str) -> str:
    """A condition for hosts of this name, in the usual ways of writing it."""
    return f"hostname:{literal(tuple(_spellings(name)))}"


def _search(store: Store, conditions: Iterable[str], size: int) -> Asked:
    return Asked(store, "+".join(conditions), f"{store.time}|asc", size)


def _of_hosts(hosts: Iterable[str]) -> str:
    """A condition for alerts that are of one of these hosts, or do not say of which.

    How FQL minds upper and lower case is documented for ``~`` only; so the usual spellings stand beside it.
    """
    short = sorted({host.partition(".")[0] for host in hosts})
    loose = [f"device.hostname:~{literal((name,))}" for name in short]
    strict = [f"device.hostname:'{literal((one,), within=True)}*'" for name in short for one in _spellings(name)]
    return any_of(*loose, *strict, "device.hostname:!*")


def _spellings(name: str) -> list[str]:
    return list(dict.fromkeys((name, name.lower(), name.upper())))
