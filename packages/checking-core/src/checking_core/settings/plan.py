"""How executions become checks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from checking_core.settings.backends import BackendName
from checking_core.settings.environment import ENVIRONMENT

__all__ = ["HintsMode", "PlanSettings"]


class HintsMode(StrEnum):
    """When the hints inside a message count: where no expectation matches, always, or never."""

    FALLBACK = "fallback"
    ALWAYS = "always"
    NEVER = "never"


class PlanSettings(BaseSettings):
    """How executions become checks."""

    model_config = ENVIRONMENT

    expectations: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        validation_alias=AliasChoices("CHECKING_EXPECTATIONS"),
        description="Files and folders of expectations, separated by commas",
    )
    hints: HintsMode = Field(
        default=HintsMode.FALLBACK,
        validation_alias=AliasChoices("CHECKING_HINTS"),
        description="When hints inside a message count: `fallback` (where no expectation matches), `always`, `never`",
    )
    default_backend: BackendName | None = Field(
        default=None,
        validation_alias=AliasChoices("CHECKING_DEFAULT_BACKEND"),
        description="The backend that a hint without a usable platform is asked of",
    )

    @field_validator("expectations", mode="before")
    @classmethod
    def _paths(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
