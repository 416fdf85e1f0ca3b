"""``${agent_host}`` in a query stands for a value of the execution: which names there are, and what they stand in."""

from __future__ import annotations

import re

__all__ = ["PLACEHOLDER", "PLACEHOLDERS", "PLAIN_STRINGS", "UnclearQuotesError", "strings_in"]

PLACEHOLDERS = ("agent_host", "host_names", "command", "pid", "user", "started_at", "finished_at", "marker")

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
"""Its group is the name."""

PLAIN_STRINGS = "where there are placeholders write strings in plain quotes, close each, and no comments"

_TOKEN = re.compile(
    r"""
    (?P<unclear>
        \"{3} | '{3} | `{3}       # raw strings, comments
        | /\* | (?:^|(?<=\s))// | //(?=[^\n]*["']) | (?:--|\#)\s(?=[^\n]*["'])  # comments
        | \\["']                # an escaped quote outside of a string
        | (?<=[\w?@])["']        # a raw string, an apostrophe
    )
    | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
    | (?P<unclosed>["'])
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
"""What a query has of strings. A backslash within one escapes the next character, as in every language we know."""


class UnclearQuotesError(ValueError):
    """Languages differ in where the strings of this query begin and end."""


def strings_in(query: str) -> list[tuple[int, int]]:
    """Where the strings of a query stand, their quotes included.

    A value that is put into a string is written otherwise than one that is a string itself. So whoever fills one in has
    to be certain where strings end, whatever the language.

    Raises:
        UnclearQuotesError: there are raw strings, comments, quotes that are not closed, or apostrophes.
    """
    found = []
    for token in _TOKEN.finditer(query):
        if token["unclear"] or token["unclosed"]:
            shown = query[token.start() : token.start() + 20]
            raise UnclearQuotesError(f"it is not certain which strings of the query are open at {shown!r}")
        found.append(token.span())
    return found
