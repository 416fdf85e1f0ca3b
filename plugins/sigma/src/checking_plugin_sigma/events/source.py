"""The files that hold the telemetry: what the setting names, expanded each time it is asked."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from checking_plugin_sigma.events.routing import Logsource, Route, said_route

__all__ = ["files_of", "said_for"]


def files_of(places: Sequence[str]) -> list[Path]:
    """The files behind paths, folders and patterns, each once, in the order of their names."""
    return sorted({file for place in places for file in _files(place)})


def said_for(path: Path, logsources: Mapping[str, Logsource]) -> Route | None:
    """The log source that somebody named for a file, by a pattern over its path."""
    for pattern, named in logsources.items():
        if fnmatch(path.as_posix(), pattern) or fnmatch(path.name, pattern):
            return said_route(*named)
    return None


def _files(place: str) -> Iterator[Path]:
    path = Path(place).expanduser()
    if path.is_dir():
        yield from (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    elif path.is_file():
        yield path
    else:
        found = (Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207 - absolute patterns
        yield from (file for file in found if file.is_file())
