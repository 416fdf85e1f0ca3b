"""Settings of the server's own rooms."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["ApiSettings", "FlowSettings", "MetricsSettings"]

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
_ENV = SettingsConfigDict(env_prefix="CHECKING_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)


class FlowSettings(BaseSettings):
    """How the stations work: sizes in rows, times in seconds."""

    model_config = _ENV

    batch_size: int = Field(default=200, ge=1, le=1000, description="Messages or checks in one transaction")
    collect_window: float = Field(default=0.02, ge=0, le=5, description="Wait for a fuller batch under load")
    poll_interval: float = Field(default=1.0, gt=0, le=60, description="Longest time between two looks for due work")
    queue_wait: float = Field(default=30.0, ge=0, description="Part of a lease: time before its queue is looked at")
    max_dispatches: int = Field(default=3, ge=1, description="Times one look is sent before its worker counts as lost")
    patience: float = Field(default=900.0, ge=0, description="Time after acceptance that an outage is waited for")
    drain_timeout: float = Field(default=10.0, ge=0, description="Time that running work gets to end at a stop")


class ApiSettings(BaseSettings):
    """Where the API listens, and how it makes tokens."""

    model_config = SettingsConfigDict({**_ENV, "env_prefix": "CHECKING_API_"})

    host: str = Field(
        default="127.0.0.1", description="Name or address to listen on; without access control a loopback one"
    )
    port: int = Field(default=1337, ge=0, le=65535, description="TCP port, 0 for any free one")
    token_secret: SecretStr | None = Field(
        default=None, min_length=32, description="Signs tokens; all processes share it"
    )
    token_secret_before: SecretStr | None = Field(
        default=None, min_length=32, description="The one before: its tokens are good until they end"
    )
    token_minutes: float = Field(default=15.0, gt=0, le=1440, description="How long a token is good for")
    requests_per_minute: float = Field(
        default=6000.0,
        ge=0,
        le=1e9,
        description="Requests of one key, or of one address without keys; 0 for any number",
    )
    origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Web pages that may ask from a browser (CORS), with commas between"
    )
    body_seconds: float = Field(default=30.0, gt=0, le=3600, description="How long a request's body may take to come")
    proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Addresses of proxies that tell whose request it is, with commas between"
    )
    hsts: bool = Field(default=False, description="Tell browsers to come by TLS alone; for a server behind a proxy")

    @field_validator("origins", "proxies", mode="before")
    @classmethod
    def _listed(cls, told: object) -> object:
        return tuple(part.strip() for part in told.split(",") if part.strip()) if isinstance(told, str) else told

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin[:100]!r} is no origin; write it as https://soc.example, without a path")
        return origins


class MetricsSettings(BaseSettings):
    """Where a process without an API shows its metrics; one with an API shows them there."""

    model_config = SettingsConfigDict({**_ENV, "env_prefix": "CHECKING_METRICS_"})

    host: str = Field(default="127.0.0.1", description="Address to listen on; nobody is asked for a key")
    port: int = Field(default=0, ge=0, le=65535, description="TCP port; 0 for none")
