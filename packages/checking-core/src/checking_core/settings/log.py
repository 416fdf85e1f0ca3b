"""What is logged, how, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from checking_core.log import LogFormat
from checking_core.settings.environment import ENVIRONMENT

__all__ = ["LogSettings"]


class LogSettings(BaseSettings):
    """What is logged, how, and where. Lines go to stderr."""

    model_config = ENVIRONMENT

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="INFO",
        validation_alias=AliasChoices("CHECKING_LOG_LEVEL", "LOG_LEVEL"),
        description="The least important lines that are logged",
    )
    format: LogFormat = Field(
        default=LogFormat.CONSOLE,
        validation_alias=AliasChoices("CHECKING_LOG_FORMAT"),
        description="`console` for eyes, `json` for machines",
    )
    file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices("CHECKING_LOG_FILE", "LOG_FILE"),
        description="A file that gets the same lines; rotated at 10 MB, five old ones are kept",
    )

    @field_validator("level", "format", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "level" else value.lower()
