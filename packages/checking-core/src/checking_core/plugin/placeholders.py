"""``${agent_host}`` in a query becomes a literal of the query's language. Pure.

The values come from the target and from whoever attacks it: each plugin says how its language quotes them, and nothing
is ever put in as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Protocol, TypeAlias

from checking_core.contracts import DetectionConfig, ExecutionContext
from checking_core.contracts.placeholder import (
    PLACEHOLDER,
    PLACEHOLDERS,
    PLAIN_STRINGS,
    UnclearQuotesError,
    strings_in,
)
from checking_core.errors import QueryInvalidError
from checking_core.matching.identity import Identity
from checking_core.matching.window import Windows

__all__ = ["PLACEHOLDERS", "Quote", "Values", "fill", "is_scoped", "values_of"]

Values: TypeAlias = Mapping[str, tuple[str, ...]]
"""What stands behind each name: nothing, one text, or several."""


class Quote(Protocol):
    """How a language writes values."""

    def __call__(self, values: tuple[str, ...], *, quoted: bool) -> str:
        """The values as one literal or, where there are several, as a list.

        Args:
            values: at least one, hostile.
            quoted: the literal stands within quotes that the query has already: escape the text, add no quotes.
        """
        ...


def is_scoped(query: str | None, config: DetectionConfig) -> bool:
    """Whether a query asks for the execution's host alone; ``target`` stands for another than the agent's."""
    names = {"host_names"} if config.target else {"host_names", "agent_host"}
    return query is not None and not names.isdisjoint(PLACEHOLDER.findall(query))


def values_of(context: ExecutionContext, identity: Identity, windows: Windows, config: DetectionConfig) -> Values:
    """What the placeholders of an execution's queries stand for."""
    names = set(identity.host.names)
    if not config.target:
        names |= {context.agent_host, *context.host_aliases}
    found: dict[str, object] = {
        "agent_host": context.agent_host,
        "command": context.plaintext_command or context.command,
        "pid": context.pid,
        "user": context.user,
        "started_at": windows.run.start.isoformat(),
        "finished_at": windows.run.end.isoformat(),
        "marker": identity.marker,
    }
    single = {name: (str(value),) if value not in (None, "") else () for name, value in found.items()}
    return {**single, "host_names": tuple(sorted(names - {""}))}


def fill(query: str, values: Values, quote: Quote) -> str:
    """The query with a literal in place of each placeholder.

    Raises:
        QueryInvalidError: a placeholder is unknown, this execution has no such value, or it is not certain where the
            query's strings end.
    """
    if not PLACEHOLDER.search(query):
        return query
    try:
        strings = strings_in(query)
    except UnclearQuotesError as error:
        raise QueryInvalidError(f"{error}; {PLAIN_STRINGS}") from None

    def literal(found: re.Match[str]) -> str:
        name = found[1]
        if name not in values:
            nearest = (get_close_matches(name, PLACEHOLDERS, n=1, cutoff=0) or PLACEHOLDERS)[0]
            raise QueryInvalidError(f"the query has the unknown placeholder ${{{name[:50]}}}; did you mean {nearest}?")
        if not values[name]:
            raise QueryInvalidError(f"the query has the placeholder ${{{name}}}, which this execution does not tell")
        return quote(values[name], quoted=any(start < found.start() < end for start, end in strings))

    return PLACEHOLDER.sub(literal, query)
