"""Where the telemetry and the rules are: variables that begin with ``CHECKING_SIGMA_``; see README.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from checking_core import Ask, DetectionConfig
from checking_plugin_sigma.events.instant import instant_of
from checking_plugin_sigma.events.routing import Logsource
from checking_plugin_sigma.rules.cache import default_folder

__all__ = ["NamedLogsource", "SigmaConfig", "SigmaSettings", "zone_of"]


class NamedLogsource(BaseModel, extra="forbid", frozen=True):
    """The log source of a file whose events do not tell it."""

    product: str | None = None
    category: str | None = None
    service: str | None = None

    @property
    def logsource(self) -> Logsource:
        """The same for the readers."""
        return Logsource(self.product, self.category, self.service)


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its name.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; write a name such as UTC or America/New_York") from None


def _zone(value: object) -> object:
    return zone_of(value) if isinstance(value, str) else value


def _places(value: object) -> object:
    """One path, several as the system separates them, or a JSON list."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return tuple(filter(None, value.split(os.pathsep)))
    try:
        return tuple(filter(None, msgspec.json.decode(value, type=list[str])))
    except msgspec.DecodeError:
        raise ValueError('begins like a JSON list and is none; write one such as ["logs/*.jsonl"]') from None


def _moment(value: object) -> object:
    """A text as a moment, told in words of ours if it is none."""
    told = instant_of(value) if isinstance(value, str) else None
    if isinstance(value, str) and (told is None or not told.zoned):
        raise ValueError("is no date and time with its zone; write one such as 2026-01-31T12:00:00Z")
    return told.moment if told else value


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_moment)]


class SigmaSettings(BaseSettings):
    """One set of telemetry and the rules for it."""

    model_config = SettingsConfigDict(
        env_prefix="CHECKING_SIGMA_", env_file=".env", extra="ignore", arbitrary_types_allowed=True
    )

    events: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_places)] = Field(
        default=(), description="Telemetry: files, folders or patterns, separated as in PATH, or a JSON list"
    )
    rules: Path | None = Field(default=None, description="Folder of the rules, or one rule")
    time_zone: Annotated[ZoneInfo | None, NoDecode, BeforeValidator(_zone)] = Field(
        default=None, description="Zone of times that are written without one; unset: they are unknown"
    )
    replay: bool = Field(default=False, description="Shift recordings onto the time of each execution")
    replay_onto: Moment | None = Field(
        default=None, description="Shift recordings so that their first event is at this moment, for all executions"
    )
    logsources: dict[str, NamedLogsource] = Field(
        default={}, description="Log sources of files by pattern, as JSON, where events do not tell"
    )
    placeholders: dict[str, list[str]] = Field(
        default={}, description="Values for the modifier expand, by name, as JSON"
    )
    cache: Path = Field(default_factory=default_folder, description="Folder of compiled rules")


class SigmaConfig(DetectionConfig):
    """The common keys, and how a recording is dated.

    ``replay`` overrules the settings; ``replay_onto`` is the moment onto which the first event is shifted, in place of
    the setting or else the execution's start. ``files`` is a pattern over names: only those files are asked.
    """

    files: str | None = None
    replay: bool | None = None
    replay_onto: Moment | None = None

    @property
    def asks(self) -> frozenset[Ask]:
        """Without any question all rules are observed: a rule of ours raises no alert."""
        sections: tuple[Any, ...] = (self.alert, self.rule, self.sigma, self.telemetry, self.alive)
        observes = all(section is None for section in sections) and Ask.PREVENTION not in super().asks
        return frozenset({Ask.RULE}) if observes else super().asks
