"""One entry point to its detector classes. Everything here runs foreign code, so everything may go wrong."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Container, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any, TypeVar

import pluggy
from pydantic_settings import BaseSettings

from checking_core.contracts import Ask, DetectionConfig
from checking_core.errors import CheckingError
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.commands import Command
from checking_core.plugin.demo import Demo
from checking_core.plugin.hookspecs import PROJECT, HookSpecs

__all__ = ["BrokenPluginError", "foreign", "load_commands", "load_demo", "load_detectors", "problem_of"]

_PLATFORM = re.compile(r"[a-z0-9_-]{1,40}")
_COMMAND = re.compile(r"[a-z][a-z0-9-]{0,39}")
_TARGET = re.compile(r"[\w.]+:\w+")
_LONGEST_PROBLEM = 300

T = TypeVar("T")


class BrokenPluginError(CheckingError):
    """Why a plugin is not used, in words for the person who installed it."""


def load_detectors(entry: EntryPoint, taken: Mapping[str, type[BaseWorker]]) -> dict[str, type[BaseWorker]]:
    """Import a plugin and ask it for its detectors, by platform.

    Args:
        entry: of our group.
        taken: platforms that plugins loaded before it serve.

    Raises:
        BrokenPluginError: it cannot be used, for whatever reason; none of its detectors is.
    """
    module = foreign("cannot be imported", entry.load)
    offered = foreign("fails in checking_detectors", _registered(module).hook.checking_detectors)
    if len(offered) != 1 or not isinstance(offered[0], list | tuple) or not offered[0]:
        raise BrokenPluginError("checking_detectors returns no list of detector classes")
    found: dict[str, type[BaseWorker]] = {}
    for detector in offered[0]:
        problem = foreign("has a detector that cannot be read", partial(problem_of, detector))
        if problem := problem or _clash(detector.platform, {**taken, **found}):
            raise BrokenPluginError(problem)
        found[detector.platform] = detector
    return found


def load_commands(entry: EntryPoint, taken: Container[str]) -> dict[str, Command]:
    """Import a plugin and ask it for the commands that it adds, by name.

    Args:
        entry: of our group.
        taken: names of commands that plugins loaded before it have added.

    Raises:
        BrokenPluginError: it cannot be used, for whatever reason.
    """
    module = foreign("cannot be imported", entry.load)
    told = foreign("fails in checking_commands", _registered(module).hook.checking_commands)
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
    told = foreign("fails in checking_demo", _registered(module).hook.checking_demo)
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


def _registered(module: Any) -> pluggy.PluginManager:
    """A manager with this one plugin: pluggy stops a whole call at the first plugin that raises."""
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


def problem_of(detector: Any) -> str | None:
    """What keeps a class from being a detector."""
    if not (inspect.isclass(detector) and issubclass(detector, BaseWorker)):
        return f"checking_detectors returns {detector!r:.80}, which is no subclass of BaseWorker"
    name, platform = detector.__name__, getattr(detector, "platform", None)
    if not isinstance(platform, str) or not _PLATFORM.fullmatch(platform):
        return f"{name} has no usable platform: set it to 1 to 40 of a-z, 0-9, _ and -"
    if inspect.isabstract(detector):
        return f"{name} does not implement {', '.join(sorted(detector.__abstractmethods__))}"
    for attribute, member in (("answers", Ask), ("detection_types", str)):
        declared = getattr(detector, attribute, None)
        if not (isinstance(declared, AbstractSet) and declared and all(isinstance(item, member) for item in declared)):
            return f"{name}.{attribute} is no set of {member.__name__}"
    for attribute, kind in (("Settings", BaseSettings), ("Config", DetectionConfig)):
        declared = getattr(detector, attribute)
        if not (inspect.isclass(declared) and issubclass(declared, kind)):
            return f"{name}.{attribute} is no subclass of {kind.__name__}"
    return None


def _clash(platform: str, taken: Mapping[str, type[BaseWorker]]) -> str | None:
    if platform not in taken:
        return None
    return f"serves the platform {platform}, which {taken[platform].__module__} serves already"


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
