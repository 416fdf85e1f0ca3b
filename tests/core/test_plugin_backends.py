"""Which installed plugins are backends when nobody configured any."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from checking_core.plugin import BaseWorker, PluginHost
from checking_core.settings import BackendsSettings
from checking_core.testing import FakeDetector


class Needy(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="NEEDY_")
    url: str
    token: str | None = None


class Choosy(BaseSettings):
    """Needs one of two."""

    model_config = SettingsConfigDict(env_prefix="NEEDY_")
    url: str | None = None
    token: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Choosy:
        if self.url is None:
            raise ValueError("give NEEDY_URL")
        return self


def host(settings: type[BaseSettings]) -> PluginHost:
    needy: type[BaseWorker] = type("NeedyDetector", (FakeDetector,), {"platform": "needy", "Settings": settings})
    return PluginHost([], {"fake": FakeDetector, "needy": needy})


@pytest.mark.parametrize("settings", [Needy, Choosy])
def test_a_plugin_without_any_of_the_settings_it_needs_is_no_backend(settings: type[BaseSettings]):
    assert host(settings).backends(BackendsSettings()).keys() == {"fake"}


@pytest.mark.parametrize("settings", [Needy, Choosy])
def test_a_plugin_with_some_of_its_settings_is_one_so_that_the_others_are_missed(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NEEDY_TOKEN", "t")
    assert host(settings).backends(BackendsSettings()).keys() == {"fake", "needy"}


@pytest.mark.parametrize("settings", [Needy, Choosy])
def test_a_file_with_the_settings_of_others_sets_nothing_up(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("CHECKING_LOG_LEVEL=info\nOTHER_URL=https://other.example\n")
    reading = type("Reading", (settings,), {"model_config": SettingsConfigDict(env_file=".env", extra="ignore")})
    assert host(reading).backends(BackendsSettings()).keys() == {"fake"}


def test_a_setting_by_another_name_is_one(monkeypatch: pytest.MonkeyPatch):
    class Aliased(Choosy):
        token: str | None = Field(default=None, validation_alias=AliasChoices("needy_token", "other_token"))

    monkeypatch.setenv("OTHER_TOKEN", "t")
    assert host(Aliased).backends(BackendsSettings()).keys() == {"fake", "needy"}


def test_a_backend_that_was_configured_is_one_without_any_settings():
    configured = BackendsSettings(backends={"prod": {"plugin": "needy"}})
    assert host(Needy).backends(configured).keys() == {"prod"}
