"""One entry point to what it adds to commands. Everything here runs foreign code, so everything may go wrong.

Knows no detector: the command line of a plugin starts without them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Container, Mapping
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from checking_core.errors import CheckingError
from checking_core.plugin.commands import Command
from checking_core.plugin.demo import Demo
from checking_core.plugin.hookspecs import GROUP, PROJECT, HookSpecs

__all__ = ["BrokenPluginError", "commands_of", "foreign", "load_commands", "load_demo", "precedence", "registered"]

_COMMAND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TARGET = re.compile(r"[\w.]+:\w+")
_LONGEST_PROBLEM = 300

T = TypeVar("T")


class BrokenPluginError(CheckingError):
    """Why a plugin is not used, in words for the person who installed it."""


def load_commands(entry: EntryPoint, taken: Container[str]) -> dict[str, Command]:
    """Import a plugin and ask it for the commands that it adds, by name.

    Args:
        entry: of our group.
        taken: names of commands that plugins loaded before it have added.

    Raises:
        BrokenPluginError: it cannot be used, for whatever reason.
    """
    module = foreign("cannot be imported", entry.load)
    told = foreign("fails in checking_commands", registered(module).hook.checking_commands)
    found: dict[str, Command] = {}
    for commands in told:
        if not isinstance(commands, Mapping):
            raise BrokenPluginError("checking_commands returns no mapping of names to commands")
        for name, command in commands.items():
            if not (isinstance(name, str) and _COMMAND.fullmatch(name)):
                raise BrokenPluginError("checking_commands has a name that is not made of a-z, 0-9 and -")
            if not _is_command(command):
                raise BrokenPluginError(f"the command {name} is no Command with a target module:name")
            if name in taken:
                raise BrokenPluginError(f"adds the command {name}, which another plugin has added already")
            found[name] = command
    return found


def load_demo(entry: EntryPoint) -> Demo | None:
    """Import a plugin and ask it what it can show.

    Raises:
        BrokenPluginError: it cannot be used, for whatever reason.
    """
    module = foreign("cannot be imported", entry.load)
    told = foreign("fails in checking_demo", registered(module).hook.checking_demo)
    if not told:
        return None
    demo = told[0]
    if not (isinstance(demo, Demo) and _TARGET.fullmatch(demo.target)):
        raise BrokenPluginError("checking_demo returns no Demo with a target module:name")
    if demo.record is not None and not _is_command(demo.record):
        raise BrokenPluginError("checking_demo has a record that is no Command with a target module:name")
    return demo


def _is_command(value: Any) -> bool:
    return isinstance(value, Command) and _TARGET.fullmatch(value.target) is not None


def commands_of(plugin: str) -> dict[str, Command]:
    """The commands of the plugin of this name, and nothing else of it; none if it is not there or cannot be used."""
    for entry in sorted(entry_points(group=GROUP, name=plugin), key=precedence)[:1]:
        try:
            return load_commands(entry, ())
        except BrokenPluginError:
            return {}
    return {}


def registered(module: Any) -> pluggy.PluginManager:
    """A manager with this one plugin: pluggy stops a whole call at the first plugin that raises.

    Raises:
        BrokenPluginError: it is no plugin of ours.
    """
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    foreign("cannot be registered", partial(manager.register, module))
    callers = manager.get_hookcallers(module) or []
    known = [name for name in vars(HookSpecs) if not name.startswith("_")]
    if unknown := next((caller.name for caller in callers if not caller.has_spec()), None):
        nearest = (get_close_matches(unknown, known, n=1, cutoff=0) or known)[0]
        raise BrokenPluginError(f"implements the hook {unknown}, which does not exist; did you mean {nearest}?")
    if not callers:
        raise BrokenPluginError(f"implements no hook; mark {known[0]} with @hookimpl")
    return manager


def foreign(what: str, call: Callable[[], T]) -> T:
    """Run a plugin's code: whatever it raises becomes the reason why the plugin is not used."""
    try:
        return call()
    except BrokenPluginError:
        raise
    except (Exception, SystemExit) as error:
        words = str(traceback.TracebackException(type(error), error, None, compact=True))
        told = f"{what}: {type(error).__name__}: {words}".replace("\n", " ")
        raise BrokenPluginError(told[:_LONGEST_PROBLEM]) from error


def precedence(entry: EntryPoint) -> tuple[str, bool, str]:
    """Of two plugins with one name our own distribution comes first, then the alphabet: never chance."""
    distribution = entry.dist.name if entry.dist else ""
    return entry.name, distribution != f"checking-plugin-{entry.name}", distribution
