"""Where Elasticsearch is and how it lets us in: variables that begin with ``ELASTIC_``; see README.md."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from checking_core.plugin.http import ApiSecret, HttpSettings

__all__ = ["ElasticSettings"]

_PREFIX = "ELASTIC_"
_ALSO_NAMED = {
    "url": ("elasticsearch_url", "elastic_base_url", "es_url", "elasticsearch_endpoints"),
    "api_key": ("elasticsearch_api_key",),
    "kibana_url": ("kibana_url",),
    "kibana_space": ("kibana_space",),
}
"""Names that other tools use. They count where a backend has no prefix of its own, and ours is not set."""


class ElasticSettings(HttpSettings):
    """One cluster, by its address or its id in Elastic Cloud, and one way in."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX)

    url: str | None = Field(default=None, description="Address of Elasticsearch, such as https://elastic.example:9200")
    cloud_id: str | None = Field(
        default=None, description="Id of a deployment in Elastic Cloud, in place of the address"
    )
    api_key: ApiSecret | None = Field(default=None, description="Encoded API key")
    username: str | None = Field(default=None, description="User, where there is no API key")
    password: SecretStr | None = Field(default=None, description="Password of the user")
    bearer_token: ApiSecret | None = Field(default=None, description="Token of a service account")
    alerts_index: str = Field(default=".alerts-security.alerts-default", description="Index of the alerts")
    index: str | None = Field(default=None, description="Index that queries without one are asked of")
    check_host: str | None = Field(default=None, description="Host that a self-check looks for in the index")
    kibana_url: str | None = Field(default=None, description="Address of Kibana, for its rules and links to alerts")
    kibana_space: str = Field(default="default", description="Space of the rules and links")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """See pydantic-settings: ours come first, then the names of other tools."""
        ours = (init_settings, env_settings, dotenv_settings, file_secret_settings)
        return (*ours, InitSettingsSource(settings_cls, _of_other_tools(env_settings, dotenv_settings)))

    @field_validator("cloud_id")
    @classmethod
    def _readable(cls, cloud_id: str | None) -> str | None:
        if cloud_id:
            _address_in(cloud_id)
        return cloud_id

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if not self.address:
            raise ValueError("set URL or CLOUD_ID")
        if not (self.api_key or self.bearer_token or (self.username and self.password)):
            raise ValueError("set API_KEY, or BEARER_TOKEN, or USERNAME and PASSWORD")
        return self

    @property
    def address(self) -> str:
        """Where Elasticsearch is."""
        told = self.url or (_address_in(self.cloud_id) if self.cloud_id else "")
        return told.partition(",")[0].strip()

    @property
    def kibana(self) -> str | None:
        """Where links lead, if anybody said."""
        if self.kibana_url is None:
            return None
        space = "" if self.kibana_space == "default" else f"/s/{self.kibana_space}"
        return f"{self.kibana_url.rstrip('/')}{space}"

    @property
    def authorization(self) -> str:
        """The header that lets us in."""
        if self.api_key:
            return f"ApiKey {self.api_key.get_secret_value()}"
        if self.bearer_token:
            return f"Bearer {self.bearer_token.get_secret_value()}"
        password = self.password.get_secret_value() if self.password else ""
        return f"Basic {base64.b64encode(f'{self.username}:{password}'.encode()).decode()}"


def _of_other_tools(*sources: PydanticBaseSettingsSource) -> dict[str, Any]:
    """Fields that only other tools' variables set."""
    told = [source for source in sources if isinstance(source, EnvSettingsSource) and source.env_prefix == _PREFIX]
    found: dict[str, Any] = {}
    for field, names in _ALSO_NAMED.items():
        values = [source.env_vars.get(name) for name in names for source in told]
        if value := next(filter(None, values), None):
            found[field] = value
    return found


def _address_in(cloud_id: str) -> str:
    """``name:`` and, in base64, ``host$elasticsearch$kibana``."""
    try:
        host, elasticsearch = base64.b64decode(cloud_id.rpartition(":")[2]).decode().split("$")[:2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ValueError("CLOUD_ID is no id of a deployment; copy it from its page") from None
    name, _, port = host.partition(":")
    return f"https://{elasticsearch}.{name}:{port or 443}"
