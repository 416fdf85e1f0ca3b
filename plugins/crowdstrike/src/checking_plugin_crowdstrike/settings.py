"""Where Falcon is and how it lets us in: variables that begin with ``FALCON_``; see README.md."""

from __future__ import annotations

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from checking_core.plugin.http import ApiSecret, HttpSettings
from checking_plugin_crowdstrike.clouds import Cloud, address_of, cloud_named

__all__ = ["CrowdStrikeSettings"]


class CrowdStrikeSettings(HttpSettings):
    """One customer of Falcon, and the API client that stands for us."""

    model_config = SettingsConfigDict(env_prefix="FALCON_")

    client_id: str = Field(description="Id of the API client")
    client_secret: ApiSecret = Field(description="Secret of the API client")
    member_cid: str | None = Field(
        default=None, description="Customer id of a member, where the client is its parent's"
    )
    cloud: Cloud = Field(default=Cloud.US_1, description="Cloud that is asked first: us-1, us-2, us-3, eu-1, us-gov-1")
    base_url: str | None = Field(default=None, description="Address of the API, in place of the cloud's")
    check_host: str | None = Field(default=None, description="Host whose sensor a self-check looks for")

    @field_validator("cloud", mode="before")
    @classmethod
    def _named(cls, name: str) -> Cloud:
        if cloud := cloud_named(name):
            return cloud
        raise ValueError(f"is none of {', '.join(Cloud)}")

    @property
    def address(self) -> str:
        """Where the API is, as far as anybody said."""
        return (self.base_url or address_of(self.cloud)).rstrip("/")

    @property
    def credentials(self) -> dict[str, str]:
        """What a token is issued for."""
        told = {"client_id": self.client_id, "client_secret": self.client_secret.get_secret_value()}
        return {**told, "member_cid": self.member_cid} if self.member_cid else told
