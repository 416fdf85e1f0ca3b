"""``detection_config``: what a check asks of a backend. The common keys; a plugin's ``Config`` adds its own.

Key by key: docs/reference/detection-config.md. Original-style keys (``query``, ``command``, ``jitter``) are read
into the canonical sections by ``canonical_config``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from checking_core.contracts.task import Timing
from checking_core.contracts.verdict import Ask, Expect

__all__ = [
    "ALERT_TIMING",
    "TELEMETRY_TIMING",
    "AlertQuestion",
    "DetectionConfig",
    "RanIf",
    "Seconds",
    "TimingOverride",
    "canonical_config",
    "config_digest",
    "config_problem",
    "timing_of",
]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_UNIT = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}


def _seconds(value: Any) -> Any:
    """``15m``, ``2h``, ``90`` in seconds; ``auto`` is the default."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text == "auto":
            return None
        if found := _DURATION.fullmatch(text):
            return float(found[1]) * _UNIT[found[2]]
    elif not isinstance(value, bool):
        return value
    raise ValueError("is no span of time; write seconds, a number with s, m, h or d, or auto")


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


def _rule(value: Any) -> Any:
    if isinstance(value, str | dict) and value:
        return value
    raise ValueError("is neither the path of a Sigma rule nor the rule itself")


_MONTH = 30 * 86_400
_SECONDS_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": _MONTH},
        {"type": "string", "pattern": rf"^({_DURATION.pattern}|auto)$"},
        {"type": "null"},
    ]
}

Seconds = Annotated[
    Annotated[float, Field(ge=0, le=_MONTH)] | None, BeforeValidator(_seconds), WithJsonSchema(_SECONDS_SCHEMA)
]
"""A span: seconds, or text such as ``15m``; ``None`` and ``auto`` mean the default."""

PositiveSeconds = Annotated[
    Annotated[float, Field(gt=0, le=_MONTH)] | None, BeforeValidator(_seconds), WithJsonSchema(_SECONDS_SCHEMA)
]
"""A span that must not be nothing: an attempt without time, or looks without a pause, would be."""

Text = Annotated[str, AfterValidator(_said)]
"""Text that says something: an empty query would ask for everything."""

SigmaRule = Annotated[str | dict[str, Any], BeforeValidator(_rule)]
"""A path, or the rule inline."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AlertQuestion(_Section):
    """Did a product rule raise an alert? Asked of the alert store only."""

    rule: Text | None = None
    rule_id: Text | None = None
    query: Text | None = None
    techniques: list[str] = []
    severity: str | None = None
    min_count: int = Field(default=1, ge=1)


class SearchQuestion(_Section):
    """A search over telemetry: detection logic, raw trace, or sign of life."""

    query: Text
    language: str | None = None
    index: str | None = None


class RanIf(_Section):
    """When a step counts as having really happened."""

    exit: list[int] | None = None
    stdout_regex: str | None = None


class DetectionConfig(BaseModel):
    """The canonical keys. A plugin's own configuration inherits from it."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    alert: AlertQuestion | None = None
    rule: SearchQuestion | None = None
    sigma: SigmaRule | None = None
    telemetry: SearchQuestion | None = None
    alive: SearchQuestion | None = None
    prevention: bool = False
    expect: Expect | None = None

    before_reported_time: Seconds = None
    after_reported_time: Seconds = None
    settle: Seconds = Field(default=None, validation_alias=AliasChoices("settle", "jitter"))
    deadline: Seconds = None
    poll_interval: PositiveSeconds = None
    activity: Seconds = None
    delay: Seconds = None
    timeout: PositiveSeconds = None

    min_count: int = Field(default=1, ge=1)
    max_results: int = Field(default=100, ge=1, le=10_000)
    control: bool | None = None
    target: dict[str, Any] | None = None
    match: dict[str, Any] | None = None
    ran_if: RanIf | None = None

    @property
    def asks(self) -> frozenset[Ask]:
        """The questions this check puts; without any section it observes: all alerts of the host."""
        asked = {
            Ask.ALERT: self.alert is not None,
            Ask.RULE: self.rule is not None or self.sigma is not None,
            Ask.TELEMETRY: self.telemetry is not None,
            Ask.ALIVE: self.alive is not None,
            Ask.PREVENTION: self.prevention or self.expect is Expect.BLOCKED,
        }
        return frozenset(ask for ask, yes in asked.items() if yes) or frozenset({Ask.ALERT})

    @property
    def wanted(self) -> Expect:
        """What the author wants to see: said, or else the strongest section's outcome."""
        if self.expect is not None:
            return self.expect
        if self.alert is not None:
            return Expect.ALERTED
        if self.rule is not None or self.sigma is not None:
            return Expect.MATCHED
        return Expect.LOGGED if self.telemetry is not None else Expect.OBSERVE


ALERT_TIMING = Timing(before=30, after=900, settle=60, deadline=1200)
"""Defaults of a check that asks an alert store: product rules run on a schedule."""

TELEMETRY_TIMING = Timing(before=30, after=300, settle=60, deadline=600)
"""Defaults of a check that asks telemetry only."""


class TimingOverride(BaseModel):
    """A backend's own times, between core's defaults and what a check says. All in seconds or as ``15m``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before: Seconds = None
    after: Seconds = None
    settle: Seconds = None
    deadline: Seconds = None
    poll_interval: PositiveSeconds = None
    timeout: PositiveSeconds = None
    delay: Seconds = None


def timing_of(config: DetectionConfig, override: TimingOverride | None = None) -> Timing:
    """The times of a check: its own, else its backend's, else core's for the kind of question."""
    asks_alerts = bool(config.asks & {Ask.ALERT, Ask.PREVENTION})
    base = ALERT_TIMING if asks_alerts else TELEMETRY_TIMING
    own = {
        "before": config.before_reported_time,
        "after": config.after_reported_time,
        "settle": config.settle,
        "deadline": config.deadline,
        "poll_interval": config.poll_interval,
        "timeout": config.timeout,
        "delay": config.delay,
    }
    said = {key: value for key, value in own.items() if value is not None}
    backend = override.model_dump(exclude_none=True) if override else {}
    timing = msgspec.convert({**msgspec.structs.asdict(base), **backend, **said}, Timing)
    return timing if timing.deadline >= timing.settle else msgspec.structs.replace(timing, deadline=timing.settle)


def canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration with a bare ``query`` or ``command`` moved into the section ``rule``.

    Where both stand, the section counts and the bare one stays what any unknown key is. Applied twice it changes
    nothing more.
    """
    query = next((config[key] for key in ("query", "command") if config.get(key) is not None), None)
    if query is None or config.get("rule") is not None:
        return dict(config)
    rule = {"query": query}
    if config.get("query_language") is not None:
        rule["language"] = config["query_language"]
    kept = {key: value for key, value in config.items() if key not in ("query", "command", "query_language")}
    return {**kept, "rule": rule}


def config_problem(config: Mapping[str, Any], model: type[DetectionConfig] = DetectionConfig) -> str | None:
    """What is wrong with a configuration, ``field: problem`` of the first error; ``None`` if nothing is."""
    try:
        model.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
    return None


def config_digest(config: Mapping[str, Any]) -> str:
    """A name for a configuration: the same for the same content whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(config, order="deterministic")).hexdigest()[:32]
