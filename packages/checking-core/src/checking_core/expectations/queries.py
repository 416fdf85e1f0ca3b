"""What is wrong with the text of a query, whatever backend it is for: its own time range, and no scope. Pure.

Known by the words of the languages, not by parsing them: a query that is told here may be right, and lint then says
what it took for wrong.
"""

from __future__ import annotations

import re

__all__ = ["own_time_range", "scope_problem"]

_TIME_RANGE = re.compile(
    r"""
      \b_?(?:index_)?(?:earliest|latest)\s*=                        # SPL
    | \b(?:start|end)timeu?\s*= | \btimeformat\s*=
    | \b_time\s*[<>]
    | ["']range["']\s*:\s*\{\s*["']@timestamp["']                    # Elastic query DSL
    | @timestamp\s*(?::\s*)?(?:[<>]=?|[\[{])                         # KQL, Lucene, ES|QL, EQL
    | \bnow\s*\(\s*\)\s*- | \bnow-\d+[smhdwM]\b
    | \bTimeGenerated\s*(?:[<>]|between\b) | \bago\s*\(             # Kusto
    | \b(?:\w*timestamp|(?:first|last)_seen)\s*:\s*[<>]              # FQL
    """,
    re.IGNORECASE | re.VERBOSE,
)
_EVERYWHERE = re.compile(
    r"""
      (?<![\w.])index\s*=\s*["']?\*["']?(?=[\s)|]|\Z)                # SPL
    | \A\s*from\s+["']?\*["']?(?=[\s|]|\Z)                           # ES|QL
    | \bunion\s+\*(?=[\s|]|\Z)                                       # Kusto
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SPL_SCOPE = re.compile(
    r"""
      (?<![\w.])index\s*(?:=|\bIN\b) | \beventtype\s*=
    | `                                                              # a macro: most of them begin with an index
    | \|\s*(?:from|tstats|mstats|datamodel|pivot|inputlookup|savedsearch|loadjob|rest|makeresults)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def own_time_range(query: str) -> str | None:
    """The words by which a query chooses its own time: it would miss the attack, or find another one."""
    found = _TIME_RANGE.search(query)
    return found[0].strip() if found else None


def scope_problem(query: str, *, language: str | None, index: str | None) -> str | None:
    """Why a query is asked of everything, or of a default that nobody wrote down.

    Args:
        query: its text.
        language: if it is known; only some languages name the index in the query.
        index: where to search, if that is told beside the query.
    """
    if index is not None:
        return "searches every index" if index.strip() in ("*", "_all") else None
    if _EVERYWHERE.search(query):
        return "searches every index"
    if (language or "").strip().lower() == "spl" and not _SPL_SCOPE.search(query):
        return "names no index, so only the default ones of the account are searched"
    return None
