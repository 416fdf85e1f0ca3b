"""Finds installed plugins and loads them one by one: a broken one is listed with the reason and harms nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import StrEnum
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

import msgspec
from pydantic import AliasChoices, ValidationError
from pydantic_settings import BaseSettings

from checking_core.contracts import Ask, DetectionConfig
from checking_core.errors import ConfigurationError
from checking_core.plugin.base import BaseWorker
from checking_core.plugin.commands import Command
from checking_core.plugin.demo import Demo
from checking_core.plugin.detector import SearchDetector
from checking_core.plugin.detector_loader import load_detectors
from checking_core.plugin.hookspecs import GROUP
from checking_core.plugin.knows_rules import KnowsRules
from checking_core.plugin.loader import BrokenPluginError, foreign, load_commands, load_demo, precedence
from checking_core.settings import BackendSettings, BackendsSettings

if TYPE_CHECKING:
    from checking_core.expectations.lint import RuleProblem

__all__ = ["PluginHost", "PluginInfo", "PluginState", "plain_backend"]


class PluginState(StrEnum):
    """Whether a plugin serves."""

    LOADED = "loaded"
    BROKEN = "broken"


class PluginInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One installed plugin. ``detectors`` are the platforms it serves; a broken one has none and a ``problem``."""

    name: str
    distribution: str
    version: str
    state: PluginState
    problem: str = ""
    detectors: tuple[str, ...] = ()


class PluginHost:
    """The plugins of this installation.

    Attributes:
        plugins: every installed plugin, the broken ones too.
        detectors: detector classes by platform.
        commands: what plugins add to the command line, by name.
        demos: what plugins can show by themselves, by name of the plugin.
    """

    def __init__(
        self,
        plugins: Sequence[PluginInfo],
        detectors: Mapping[str, type[BaseWorker]],
        commands: Mapping[str, Command] | None = None,
        demos: Mapping[str, Demo] | None = None,
    ) -> None:
        self.plugins = tuple(plugins)
        self.detectors = dict(detectors)
        self.commands = dict(commands or {})
        self.demos = dict(demos or {})

    @classmethod
    def load(cls, *, only: str | None = None) -> PluginHost:
        """Import every plugin of the entry-point group, or those of one name. Never raises for what a plugin does."""
        plugins: list[PluginInfo] = []
        detectors: dict[str, type[BaseWorker]] = {}
        commands: dict[str, Command] = {}
        demos: dict[str, Demo] = {}
        entries = entry_points(group=GROUP) if only is None else entry_points(group=GROUP, name=only)
        for entry in sorted(entries, key=precedence):
            distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")
            info = PluginInfo(name=entry.name, distribution=distribution, version=version, state=PluginState.LOADED)
            try:
                _refuse_second(entry, plugins)
                found = load_detectors(entry, detectors)
                added = load_commands(entry, commands)
                demo = load_demo(entry)
            except BrokenPluginError as error:
                broken = msgspec.structs.replace(info, state=PluginState.BROKEN, problem=str(error))
                plugins.append(broken)
                continue
            detectors.update(found)
            commands.update(added)
            demos.update({entry.name: demo} if demo else {})
            plugins.append(msgspec.structs.replace(info, detectors=tuple(found)))
        return cls(plugins, detectors, commands, demos)

    def backends(self, settings: BackendsSettings, *, bare: bool = False) -> dict[str, BackendSettings]:
        """The configured backends; where none is configured, one for each installed detector, of its own name.

        A plugin that is only installed, with none of the settings that it needs, is no backend. One that has some of
        them is, so that whoever asks it learns which are missing.

        Args:
            settings: the configured backends.
            bare: what nobody has set up counts as well.
        """
        if settings.backends:
            return dict(settings.backends)
        known = self.detectors.items()
        return {name: plain_backend(kind) for name, kind in known if bare or not _is_bare(kind.Settings)}

    @property
    def config_keys(self) -> frozenset[str]:
        """The keys of an expectation that an installed detector reads beside the common ones."""
        own = {name for detector in self.detectors.values() for name in detector.Config.model_fields}
        return frozenset(own - DetectionConfig.model_fields.keys())

    def languages(self, backends: Mapping[str, BackendSettings]) -> dict[str, str]:
        """The language of a query that names none, by backend, as far as it is known."""
        known: dict[str, str] = {}
        for name, settings in backends.items():
            detector = self.detectors.get(settings.plugin)
            if detector is not None and issubclass(detector, SearchDetector) and detector.default_language:
                known[name] = detector.default_language
        return known

    def answers(self, backends: Mapping[str, BackendSettings]) -> dict[str, AbstractSet[Ask]]:
        """The questions that each backend can answer, of those whose plugin is installed."""
        kinds = {name: self.detectors.get(settings.plugin) for name, settings in backends.items()}
        return {name: kind.answers for name, kind in kinds.items() if kind is not None}

    def rule_problems(self, backends: Mapping[str, BackendSettings]) -> dict[str, RuleProblem]:
        """By backend, what is wrong with a Sigma rule, of those that know rules by more than their path.

        Raises:
            ConfigurationError: a setting of such a backend is missing or wrong.
        """
        kinds = {name: self.detectors.get(settings.plugin) for name, settings in backends.items()}
        knowing = [name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, KnowsRules)]
        created = {name: self.create(name, backends[name]) for name in knowing}
        return {name: found.rule_problem for name, found in created.items() if isinstance(found, KnowsRules)}

    def create(self, backend: str, settings: BackendSettings) -> BaseWorker:
        """The detector of a backend, with its own settings read from the environment.

        Args:
            backend: name of the product instance.
            settings: which plugin serves it; ``env_prefix`` replaces the prefix of the plugin's own variables.

        Raises:
            ConfigurationError: no such plugin, or its settings are missing or wrong. Names no values.
        """
        detector = self.detectors.get(settings.plugin)
        if detector is None:
            raise ConfigurationError(f"backend {backend}: {self._why_missing(settings.plugin)}")
        if settings.detection_type not in detector.detection_types:
            known = ", ".join(sorted(detector.detection_types))
            raise ConfigurationError(f"backend {backend}: {settings.plugin} answers {known}, no other detection_type")
        try:
            return foreign("cannot be created", partial(_build, detector, backend, settings.env_prefix))
        except BrokenPluginError as error:
            raise ConfigurationError(f"backend {backend}: plugin {settings.plugin} {error}") from error

    def _why_missing(self, platform: str) -> str:
        for plugin in self.plugins:
            if plugin.name == platform and plugin.state is PluginState.BROKEN:
                return f"plugin {platform} is broken: {plugin.problem}"
        installed = ", ".join(sorted(self.detectors)) or "none"
        return f"no plugin {platform} is installed; installed: {installed}"


def plain_backend(detector: type[BaseWorker]) -> BackendSettings:
    """What stands for a backend that nobody configured: the detector with its own variables."""
    main = "api" if "api" in detector.detection_types else min(detector.detection_types)
    return BackendSettings(plugin=detector.platform, detection_type=main)


def _is_bare(model: type[BaseSettings]) -> bool:
    """Whether settings are needed and not one is given: then what every error complains of is empty."""
    try:
        foreign("cannot read its settings", model)
    except BrokenPluginError as error:
        cause = error.__cause__
        return isinstance(cause, ValidationError) and all(
            _tells_nothing(item["input"], model) for item in cause.errors(include_url=False, include_context=False)
        )
    return False


def _tells_nothing(given: object, model: type[BaseSettings]) -> bool:
    """Whether no setting of the model is among these: a ``.env`` brings those of everybody else too."""
    aliases = (field.validation_alias for field in model.model_fields.values())
    named = {choice for alias in aliases for choice in (alias.choices if isinstance(alias, AliasChoices) else [alias])}
    return isinstance(given, dict) and not given.keys() & {*model.model_fields, *named}


def _refuse_second(entry: EntryPoint, plugins: Sequence[PluginInfo]) -> None:
    for first in plugins:
        if first.name == entry.name:
            raise BrokenPluginError(f"has the same name as the plugin of {first.distribution}, which comes first")


def _build(detector: type[BaseWorker], backend: str, prefix: str | None) -> BaseWorker:
    try:
        own = detector.Settings() if prefix is None else detector.Settings(_env_prefix=prefix)
    except ValidationError as error:
        raise BrokenPluginError(f"needs settings: {_wrong_settings(error, detector.Settings, prefix)}") from None
    return detector(backend, own)


def _wrong_settings(error: ValidationError, model: type[BaseSettings], prefix: str | None) -> str:
    """The variables and what is wrong with them; never a value, for it may be a secret."""
    prefix = prefix if prefix is not None else model.model_config.get("env_prefix", "")
    problems = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        name = "_".join(map(str, item["loc"])) or "*"
        variable = f"{prefix}{name}".upper() if name == "*" or name in model.model_fields else name
        problems.append(f"{variable}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)
