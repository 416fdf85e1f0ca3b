"""What is wrong with expectations, all of it at once, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from checking_core.expectations.document import Path
from checking_core.expectations.load import Written, read, unknown_backends
from checking_core.expectations.problem import LintCode, LintMessage

__all__ = ["lint"]

_QUERIES: tuple[Path, ...] = (
    ("query",),
    ("command",),
    *((section, "query") for section in ("alert", "rule", "telemetry", "alive")),
)

_TIME_RANGE = re.compile(
    r"""
      \b_?(?:index_)?(?:earliest|latest)\s*=                        # SPL
    | \b(?:start|end)timeu?\s*= | \btimeformat\s*=
    | \b_time\s*[<>]
    | ["']range["']\s*:\s*\{\s*["']@timestamp["']                    # Elastic query DSL
    | @timestamp\s*(?::\s*)?(?:[<>]=?|[\[{])                         # KQL, Lucene, ES|QL, EQL
    | \bnow\s*\(\s*\)\s*- | \bnow-\d+[smhdwM]\b
    | \bTimeGenerated\s*(?:[<>]|between\b) | \bago\s*\(             # Kusto
    | \b\w*timestamp\s*:\s*[<>]                                      # FQL
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Searches that choose their own time would miss the attack, or find another one."""


def lint(
    paths: Sequence[FilePath], backends: Collection[str], *, plugin_keys: Collection[str] = ()
) -> list[LintMessage]:
    """Every problem of some files, by file and line. Nothing stops at the first.

    Args:
        paths: files and folders, as for ``load``.
        backends: names of the configured backends.
        plugin_keys: as for ``load``.
    """
    reading = read(paths, plugin_keys=plugin_keys)
    found = list(reading.problems)
    for written in reading.written:
        found.extend(unknown_backends(written, backends))
        found.extend(_time_ranges(written))
    return sorted(dict.fromkeys(found), key=lambda message: (message.file, message.line))


def _time_ranges(written: Written) -> Iterator[LintMessage]:
    for keys in _QUERIES:
        if found := _TIME_RANGE.search(_text(written.data, keys)):
            problem = f"{'.'.join(map(str, keys))}: chooses its own time ({found[0].strip()})"
            path = (*written.path, *keys)
            yield written.message(path, LintCode.OWN_TIME_RANGE, problem, "remove it: the check's window is applied")


def _text(data: Any, keys: Path) -> str:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, str) else ""
