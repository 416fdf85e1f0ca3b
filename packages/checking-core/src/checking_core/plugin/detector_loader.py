"""One entry point to its detector classes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

from pydantic_settings import BaseSettings

from checking_core.contracts import Ask, DetectionConfig
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.loader import BrokenPluginError, foreign, registered

__all__ = ["load_detectors", "problem_of"]

_PLATFORM = re.compile(r"[a-z0-9_-]{1,40}")


def load_detectors(entry: EntryPoint, taken: Mapping[str, type[BaseWorker]]) -> dict[str, type[BaseWorker]]:
    """Import a plugin and ask it for its detectors, by platform.

    Args:
        entry: of our group.
        taken: platforms that plugins loaded before it serve.

    Raises:
        BrokenPluginError: it cannot be used, for whatever reason; none of its detectors is.
    """
    module = foreign("cannot be imported", entry.load)
    offered = foreign("fails in checking_detectors", registered(module).hook.checking_detectors)
    if len(offered) != 1 or not isinstance(offered[0], list | tuple) or not offered[0]:
        raise BrokenPluginError("checking_detectors returns no list of detector classes")
    found: dict[str, type[BaseWorker]] = {}
    for detector in offered[0]:
        problem = foreign("has a detector that cannot be read", partial(problem_of, detector))
        if problem := problem or _clash(detector.platform, {**taken, **found}):
            raise BrokenPluginError(problem)
        found[detector.platform] = detector
    return found


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
