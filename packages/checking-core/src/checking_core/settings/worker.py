"""How a worker asks."""

from __future__ import annotations

from pydantic import AliasChoices, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from checking_core.settings.environment import ENVIRONMENT

__all__ = ["WorkerSettings"]


class WorkerSettings(BaseSettings):
    """How a worker asks. Times are in seconds."""

    model_config = ENVIRONMENT

    jitter_min: float = Field(
        default=0.1,
        ge=0,
        le=60,
        validation_alias=AliasChoices("CHECKING_WORKER_JITTER_MIN", "WORKER_JITTER_RANGE_MIN"),
        description="Shortest random pause before a look",
    )
    jitter_max: float = Field(
        default=0.5,
        ge=0,
        le=60,
        validate_default=True,
        validation_alias=AliasChoices("CHECKING_WORKER_JITTER_MAX", "WORKER_JITTER_RANGE_MAX"),
        description="Longest random pause before a look",
    )
    max_retries: int = Field(
        default=1,
        ge=0,
        le=100,
        validation_alias=AliasChoices("CHECKING_WORKER_MAX_RETRIES", "WORKER_MAX_RETRIES"),
        description="Retries of a transient error inside one look, where the check does not say",
    )
    retry_delay: float = Field(
        default=3.0,
        ge=0,
        le=3600,
        validation_alias=AliasChoices("CHECKING_WORKER_RETRY_DELAY", "WORKER_RETRY_DELAY"),
        description="Pause before the first retry; it doubles with each",
    )
    concurrency: int = Field(
        default=20,
        ge=1,
        le=10_000,
        validation_alias=AliasChoices("CHECKING_WORKER_CONCURRENCY"),
        description="Looks at a time",
    )

    @field_validator("jitter_max")
    @classmethod
    def _not_below_the_shortest(cls, longest: float, info: ValidationInfo) -> float:
        if longest < info.data.get("jitter_min", 0):
            raise ValueError("is below the shortest pause (CHECKING_WORKER_JITTER_MIN)")
        return longest
