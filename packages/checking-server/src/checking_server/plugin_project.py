"""The beginning of a plugin: a project that works, and passes the rules of every detector, before a line is written.

``plugin_template`` holds its files, for a product called Acme.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from checking_core.errors import ConfigurationError
from checking_core.plugin.hookspecs import GROUP

__all__ = ["write_project"]

_NAME = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_PREFIX = "checking-plugin-"
_SUFFIX = ".txt"
"""Of every file of the template: none of them is a module of ours."""


def write_project(name: str, parent: Path) -> Path:
    """Write a plugin project into a new folder.

    Args:
        name: of the plugin, which is its platform too.
        parent: folder in which the project's is made.

    Returns:
        The project's folder.

    Raises:
        ConfigurationError: the name cannot be one or is taken, or the folder is there already; nothing was changed.
    """
    _check_name(name)
    folder = parent / f"{_PREFIX}{name}"
    texts = dict(_texts(name))
    try:
        folder.mkdir()
    except FileExistsError:
        raise ConfigurationError(
            f"{folder} is there already; choose another name, or another folder by --into"
        ) from None
    except OSError as error:
        problem = f"--into: {folder} cannot be made: {error.strerror}; name a folder that is there"
        raise ConfigurationError(problem) from error
    try:
        for place, text in texts.items():
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--into: {folder} cannot be written: {error.strerror}") from error
    return folder


def _check_name(name: str) -> None:
    if name.startswith(_PREFIX):
        raise ConfigurationError(f"NAME: leave {_PREFIX} away, it is put in front of it")
    if not _NAME.fullmatch(name):
        rule = "write 1 to 40 of a-z and 0-9, a letter first, with single - or _ between them"
        raise ConfigurationError(f"NAME: {name[:60]!r} is no name of a plugin; {rule}")
    for entry in entry_points(group=GROUP, name=name):
        owner = entry.dist.name if entry.dist else "another distribution"
        raise ConfigurationError(f"NAME: {name} is taken, {owner} is installed; choose another")


def _texts(name: str) -> Iterator[tuple[str, str]]:
    """The files of the project: paths and contents."""
    identifier = name.replace("-", "_")
    written = {
        "checking_plugin_acme": f"checking_plugin_{identifier}",
        "test_acme": f"test_{identifier}",
        "ACME": identifier.upper(),
        "Acme": "".join(part.capitalize() for part in identifier.split("_")),
        "acme": name,
    }
    every = re.compile("|".join(written))

    def renamed(text: str) -> str:
        return every.sub(lambda found: written[found[0]], text)

    for place, file in _files(files("checking_server") / "plugin_template"):
        yield renamed(place.removesuffix(_SUFFIX)), renamed(file.read_text(encoding="utf-8"))


def _files(folder: Traversable, place: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _files(item, f"{place}{item.name}/")
        elif item.name.endswith(_SUFFIX):
            yield f"{place}{item.name}", item
