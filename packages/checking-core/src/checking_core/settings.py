"""Settings of the rooms of core, one small class per concern. Read once by an entry point, never at import.

Every variable has the prefix ``CHECKING_``; the names of the original system are accepted as aliases. A worker's
settings hold no database, a server's no backend credentials.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from checking_core.contracts.detection_config import TimingOverride

__all__ = [
    "BackendSettings",
    "BackendsSettings",
    "DatabaseSettings",
    "HintsMode",
    "LogSettings",
    "PlanSettings",
    "WorkerSettings",
]

_ENV = SettingsConfigDict(
    env_prefix="CHECKING_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True
)


def _names(*names: str) -> AliasChoices:
    """The variables that set a field, ours first, then those of the original system."""
    return AliasChoices(*names)


class DatabaseSettings(BaseSettings):
    """Where the store is. Without a URL: SQLite in the working folder, the embedded default."""

    model_config = _ENV

    url: str = Field(default="sqlite:///checking.db", validation_alias=_names("CHECKING_DATABASE_URL", "DATABASE_URL"))


class WorkerSettings(BaseSettings):
    """How a worker asks: seconds of jitter before a look, retries of transient errors, looks at a time."""

    model_config = _ENV

    jitter_min: float = Field(
        default=0.1, ge=0, validation_alias=_names("CHECKING_WORKER_JITTER_MIN", "WORKER_JITTER_RANGE_MIN")
    )
    jitter_max: float = Field(
        default=0.5, ge=0, validation_alias=_names("CHECKING_WORKER_JITTER_MAX", "WORKER_JITTER_RANGE_MAX")
    )
    max_retries: int = Field(
        default=1, ge=0, validation_alias=_names("CHECKING_WORKER_MAX_RETRIES", "WORKER_MAX_RETRIES")
    )
    retry_delay: float = Field(
        default=3.0, ge=0, validation_alias=_names("CHECKING_WORKER_RETRY_DELAY", "WORKER_RETRY_DELAY")
    )
    concurrency: int = Field(default=20, ge=1, validation_alias=_names("CHECKING_WORKER_CONCURRENCY"))


class LogSettings(BaseSettings):
    """What is logged, how, and where; ``file`` rotates at 10 MB and keeps 5."""

    model_config = _ENV

    level: str = Field(default="INFO", validation_alias=_names("CHECKING_LOG_LEVEL", "LOG_LEVEL"))
    format: str = Field(default="console", pattern="^(console|json)$", validation_alias=_names("CHECKING_LOG_FORMAT"))
    file: str | None = Field(default=None, validation_alias=_names("CHECKING_LOG_FILE"))


class HintsMode(StrEnum):
    """When the hints inside a message count: where no expectation matches, always, or never."""

    FALLBACK = "fallback"
    ALWAYS = "always"
    NEVER = "never"


class PlanSettings(BaseSettings):
    """How executions become checks."""

    model_config = _ENV

    expectations: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), validation_alias=_names("CHECKING_EXPECTATIONS")
    )
    hints: HintsMode = Field(default=HintsMode.FALLBACK, validation_alias=_names("CHECKING_HINTS"))
    default_backend: str | None = Field(default=None, validation_alias=_names("CHECKING_DEFAULT_BACKEND"))

    @field_validator("expectations", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        """Files and folders, separated by commas."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


class BackendSettings(BaseModel):
    """One configured product instance.

    ``plugin`` is the platform name of the detector that serves it; ``env_prefix`` says where that detector's own
    settings are; ``observe`` lists all alerts of an execution that no expectation names.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str
    detection_type: str = "api"
    env_prefix: str | None = None
    observe: bool = False
    max_in_flight: int = Field(default=200, ge=1)
    timing: TimingOverride = TimingOverride()


class BackendsSettings(BaseSettings):
    """The configured backends, by name (``[a-z0-9_-]{1,40}``). Empty: each installed plugin is one of its own name."""

    model_config = _ENV

    backends: dict[Annotated[str, Field(pattern="^[a-z0-9_-]{1,40}$")], BackendSettings] = Field(
        default={}, validation_alias=_names("CHECKING_BACKENDS")
    )
