"""The configured product instances: from one variable, or from ``backends.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode

from checking_core.contracts.detection_config import TimingOverride
from checking_core.contracts.text import BACKEND_NAME
from checking_core.errors import ConfigurationError
from checking_core.settings.environment import ENVIRONMENT, problem_of, variables_of

__all__ = ["BackendName", "BackendSettings", "BackendsSettings"]

_DEFAULT_FILE = Path("backends.toml")


def _named(name: str) -> str:
    if not re.fullmatch(BACKEND_NAME, name):
        raise ValueError("is no name of a backend; use 1 to 40 of a-z, 0-9, _ and -")
    return name


BackendName = Annotated[str, AfterValidator(_named)]


class BackendSettings(BaseModel):
    """One configured product instance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    plugin: str = Field(description="Platform name of the detector that serves it")
    detection_type: str = Field(default="api", description="Which of the detector's types it answers")
    env_prefix: str | None = Field(default=None, description="Prefix of the detector's own variables")
    observe: bool = Field(default=False, description="List all alerts of executions that no expectation names")
    max_in_flight: int = Field(default=200, ge=1, description="Tasks outstanding at a time")
    timing: TimingOverride = Field(default=TimingOverride(), description="Its own times, in place of the defaults")


_Backends = dict[BackendName, BackendSettings]


class BackendsSettings(BaseSettings):
    """The configured backends, by name. Empty: each installed plugin is one of its own name."""

    model_config = ENVIRONMENT

    backends: Annotated[_Backends, NoDecode] = Field(
        default={},
        validation_alias=AliasChoices("CHECKING_BACKENDS"),
        description="The backends as JSON; in its place a file may be used",
    )
    file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("CHECKING_BACKENDS_FILE"),
        description="The backends as TOML, one table each; not read where CHECKING_BACKENDS is set",
    )

    @field_validator("backends", mode="before")
    @classmethod
    def _decoded(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError('is no JSON; write {"splunk-prod": {"plugin": "splunk"}}') from None

    @model_validator(mode="before")
    @classmethod
    def _filed(cls, told: dict[str, Any]) -> dict[str, Any]:
        """Fill the backends from the file where no variable tells them."""
        if told.keys() & {"backends", *variables_of(cls, "backends")}:
            return told
        named = told.get("file") or told.get("CHECKING_BACKENDS_FILE")
        path = Path(named) if named else _DEFAULT_FILE
        return {**told, "backends": _from_file(path)} if named or path.is_file() else told


def _from_file(path: Path) -> _Backends:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"CHECKING_BACKENDS_FILE: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is no TOML: {error}") from error
    try:
        return TypeAdapter(_Backends).validate_python(tables)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {problem_of(error)}; correct the file") from None
