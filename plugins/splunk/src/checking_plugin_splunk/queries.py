"""A question as the search that Splunk gets. Pure."""

from __future__ import annotations

import re

import msgspec

from checking_core import Ask, QueryInvalidError, SearchRequest
from checking_core.matching.record import UNTOLD
from checking_plugin_splunk.language import Query, read, text_of

__all__ = [
    "COMPUTERS",
    "HOST_FIELDS",
    "Asked",
    "asked",
    "eventcount",
    "host_like",
    "is_converted",
    "newest",
]

_INDEX = re.compile(r"[\w*\-]+")
_EVERYTHING = re.compile(r"[_*]+")
_ADDRESSES = ("*.*.*.*", "*:*:*")
"""An alert may know its host by its address alone."""
COMPUTERS = ("Computer", "ComputerName", "computer_name", "dest_hostname", "dvc_host")
HOST_FIELDS = ("dest", "dvc", "src", "dest_host", "dest_nt_host", "dest_dns", "src_host", "orig_host", *COMPUTERS)
"""Where an alert tells the host that it is about; its own ``host`` is the search head."""

_NOBODY = ", ".join(text_of(word) for word in [*sorted(UNTOLD), "localhost", "localhost.*"])
"""What stands in a field of which nothing is known: an alert that names nobody may be about anybody."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A search. More rows than ``most`` are more than were asked for. ``indexes`` have to be there.

    ``probes`` are searches of which each has to have a row, or a silence proves nothing.
    ``retimes``: the time of a row may be none of an event.
    """

    search: str
    most: int
    indexes: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    retimes: bool = False


def asked(request: SearchRequest, *, alerts_index: str, index: str | None) -> Asked:
    """The search for a question.

    Args:
        request: of core.
        alerts_index: where notable events are.
        index: of a query that names none.

    Raises:
        QueryInvalidError: says what to change.
    """
    if (request.language or "spl").lower() != "spl":
        raise QueryInvalidError(f"the language {str(request.language)[:20]!r} is not spl, the only one of Splunk")
    query = read(request.query) if request.query is not None else None
    if request.ask is Ask.ALERT:
        return _of_alerts(request, query, alerts_index)
    if query is None:
        raise QueryInvalidError("there is no query")
    if query.generates:
        return _generated(request, query)
    _refuse_everything(query)
    first, rest = query.parts()
    named = request.index or (None if query.is_scoped and not is_converted(request) else index)
    if named is not None:
        return _asked(request, query, f"{_clause(named)} ({first or '*'})", rest, tuple(_names(named)))
    if not query.is_scoped:
        raise QueryInvalidError("the query names no index; add index, such as wineventlog, to its section")
    return _asked(request, query, first, rest, ())


def newest(index: str, condition: str = "") -> str:
    """A search for the newest event of an index that meets a condition."""
    return f"search {_clause(index)} {condition} | head 1"


def eventcount(index: str) -> str:
    """A search that has a row if there is such an index and this account may search it."""
    return f"| eventcount summarize=false index={text_of(index)}"


def host_like(*patterns: str) -> str:
    """A condition for events of a host whose name is one of these; ``*`` stands for any text, case does not matter."""
    return f"({' OR '.join(f'{field}={text_of(one)}' for one in patterns for field in ('host', 'dest', 'Computer'))})"


def is_converted(request: SearchRequest) -> bool:
    """Whether the query was a Sigma rule."""
    return request.ask is Ask.RULE and request.config.rule is None


def _of_alerts(request: SearchRequest, query: Query | None, index: str) -> Asked:
    if query is not None and query.generates:
        raise QueryInvalidError("a query for alerts is a condition on notable events, so it begins with no pipe")
    conditions = [_clause(index), *_narrowing(request)]
    first, rest = query.parts() if query else ("", "")
    return _asked(
        request, query, " ".join([*conditions, *([f"({first})"] if first else [])]), rest, tuple(_names(index))
    )


def _generated(request: SearchRequest, query: Query) -> Asked:
    if request.index:
        raise QueryInvalidError("a query that begins with a pipe names its index itself; remove index from its section")
    _refuse_everything(query)
    if not query.is_scoped:
        raise QueryInvalidError("the query names no index and no data model")
    _, rest = query.parts()
    most = _most(request, query)
    return Asked(
        search=f"{rest} | head {most + 1}",
        most=most,
        indexes=query.searched,
        probes=query.probes(placed=False),
        retimes=query.retimes,
    )


def _asked(request: SearchRequest, query: Query | None, first: str, rest: str, placed: tuple[str, ...]) -> Asked:
    """``placed`` are the indexes that were put before the query."""
    most = _most(request, query)
    search = " ".join(part for part in ("search", first, rest, f"| head {most + 1}") if part)
    if query is None:
        return Asked(search=search, most=most, indexes=placed)
    indexes = tuple(dict.fromkeys([*placed, *query.searched]))
    probes = query.probes(placed=bool(placed))
    return Asked(search=search, most=most, indexes=indexes, probes=probes, retimes=query.retimes)


def _most(request: SearchRequest, query: Query | None) -> int:
    """Rows that are all there are, if there are no more: a query's own limit may have cut the one that is wanted."""
    own = query.own_limit if query else None
    return request.limit if own is None else min(request.limit, max(own - 1, 0))


def _refuse_everything(query: Query) -> None:
    if any(_EVERYTHING.fullmatch(name) for name in query.searched):
        raise QueryInvalidError("the query searches every index; name those of the data")


def _names(index: str) -> list[str]:
    """The indexes of a setting or a section.

    Raises:
        QueryInvalidError: every one, or something else.
    """
    names = [name.strip() for name in index.split(",")]
    for name in names:
        if not _INDEX.fullmatch(name) or _EVERYTHING.fullmatch(name):
            raise QueryInvalidError(f"the index {name[:50]!r} is none that can be searched; name those of the data")
    return names


def _clause(index: str) -> str:
    clauses = [f'index="{name}"' for name in _names(index)]
    return clauses[0] if len(clauses) == 1 else f"({' OR '.join(clauses)})"


def _narrowing(request: SearchRequest) -> list[str]:
    """Conditions for the host and the rule, where everything is too much."""
    found: list[str] = []
    if request.hosts:
        likes = [text_of(f"*{host.partition('.')[0]}*") for host in request.hosts]
        addresses = [f'{field}="{shape}"' for field in HOST_FIELDS for shape in _ADDRESSES]
        fields = [f"{field}={like}" for like in likes for field in HOST_FIELDS]
        nobody = " ".join(f"(NOT {field}=* OR {field} IN ({_NOBODY}))" for field in HOST_FIELDS)
        found.append(f"({' OR '.join([*likes, *fields, *addresses, f'({nobody})'])})")
    alert = request.alert
    if alert and (named := [name for name in (alert.rule, alert.rule_id) if name]):
        fields = [
            f"{field}={text_of(name)}"
            for name in named
            for field in ("search_name", "rule_name", "rule_title", "source", "rule_id", "event_id")
        ]
        found.append(f"({' OR '.join(fields)})")
    return found
