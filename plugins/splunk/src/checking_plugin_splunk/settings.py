"""Where Splunk is and how it lets us in: variables that begin with ``SPLUNK_``; see README.md."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from checking_core import DetectionConfig
from checking_core.plugin.http import ApiSecret, HttpSettings

__all__ = ["AlertSource", "SplunkConfig", "SplunkSettings"]


class AlertSource(StrEnum):
    """Where alerts are kept."""

    NOTABLE = "notable"
    """The index of notable events of Enterprise Security."""
    FIRED = "fired"
    """The list of fired alerts, which every Splunk has."""


class SplunkSettings(HttpSettings):
    """One search head, by its management port, and one way in."""

    model_config = SettingsConfigDict(env_prefix="SPLUNK_")

    url: str | None = Field(
        default=None, description="Address of the management port, such as https://splunk.example:8089"
    )
    host: str | None = Field(default=None, description="Name of the search head, in place of the address")
    port: int = Field(default=8089, ge=1, le=65_535, description="Management port of that host")
    scheme: Literal["https", "http"] = Field(default="https", description="How that port is spoken to")
    token: ApiSecret | None = Field(default=None, description="Authentication token")
    username: str | None = Field(default=None, description="User, where there is no token")
    password: SecretStr | None = Field(default=None, description="Password of the user")
    app: str | None = Field(default=None, description="App whose knowledge objects searches may use")
    owner: str = Field(default="nobody", description="User of that app's context")
    index: str | None = Field(default=None, description="Index that queries without one are asked of")
    alert_source: AlertSource = Field(default=AlertSource.NOTABLE, description="Where alerts are: notable or fired")
    alerts_index: str = Field(default="notable", description="Index of the notable events")
    prevented_when: dict[str, str] | None = Field(
        default=None, description="Field and value of an alert that tell that something was blocked, as JSON"
    )
    check_host: str | None = Field(default=None, description="Host that a self-check looks for in the index")
    web_url: str | None = Field(default=None, description="Address of Splunk Web, for links to alerts")

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if not self.address:
            raise ValueError("set URL or HOST")
        if not (self.token or (self.username and self.password)):
            raise ValueError("set TOKEN, or USERNAME and PASSWORD")
        return self

    @property
    def address(self) -> str:
        """Where the management port is."""
        return self.url or (f"{self.scheme}://{self.host}:{self.port}" if self.host else "")

    @property
    def namespace(self) -> str:
        """What stands before every route."""
        if self.app is None:
            return "/services"
        return f"/servicesNS/{quote(self.owner, safe='')}/{quote(self.app, safe='')}"


class SplunkConfig(DetectionConfig):
    """The common keys, and what tells that something was blocked."""

    prevented_when: dict[str, str] | None = None
    """Counts before the setting of that name."""
