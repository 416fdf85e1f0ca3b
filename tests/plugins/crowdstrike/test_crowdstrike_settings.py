"""Where Falcon is, in the names of CrowdStrike's own tools, and never with a secret shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings, BackendsSettings
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALCON_CLIENT_ID", "id")
    monkeypatch.setenv("FALCON_CLIENT_SECRET", "s3cret")


@pytest.mark.usefixtures("_a_client")
@pytest.mark.parametrize(
    ("cloud", "address"),
    [
        (None, "https://api.crowdstrike.com"),
        ("us-1", "https://api.crowdstrike.com"),
        ("autodiscover", "https://api.crowdstrike.com"),
        ("us-2", "https://api.us-2.crowdstrike.com"),
        ("EU1", "https://api.eu-1.crowdstrike.com"),
        ("us-3", "https://api.us-3.crowdstrike.com"),
        ("us-gov-1", "https://api.laggar.gcw.crowdstrike.com"),
        ("usgov2", "https://api.us-gov-2.crowdstrike.mil"),
    ],
)
def test_a_cloud_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, cloud: str | None, address: str) -> None:
    if cloud:
        monkeypatch.setenv("FALCON_CLOUD", cloud)
    assert CrowdStrikeSettings().address == address


@pytest.mark.usefixtures("_a_client")
def test_an_address_counts_before_a_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FALCON_CLOUD", "eu-1")
    monkeypatch.setenv("FALCON_BASE_URL", "https://proxy.example/")
    assert CrowdStrikeSettings().address == "https://proxy.example"


@pytest.mark.usefixtures("_a_client")
def test_a_member_is_named_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CrowdStrikeSettings().credentials == {"client_id": "id", "client_secret": "s3cret"}
    monkeypatch.setenv("FALCON_MEMBER_CID", "m1")
    assert CrowdStrikeSettings().credentials["member_cid"] == "m1"


@pytest.mark.usefixtures("_a_client")
def test_the_secret_is_not_shown() -> None:
    assert "s3cret" not in repr(CrowdStrikeSettings())


def test_a_cloud_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValidationError, match="is none of us-1, us-2, us-3, eu-1, us-gov-1, us-gov-2"):
        CrowdStrikeSettings(client_id="id", client_secret="s", cloud="mars-1")


def test_a_backend_with_a_prefix_of_its_own_reads_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CLIENT_ID", "lab")
    monkeypatch.setenv("LAB_CLIENT_SECRET", "s")
    detector = PluginHost.load().create("lab", BackendSettings(plugin="crowdstrike", env_prefix="LAB_"))
    assert isinstance(detector.settings, CrowdStrikeSettings)
    assert detector.settings.client_id == "lab"


def test_what_is_half_set_up_is_told_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_CLIENT_ID", "lab")
    with pytest.raises(ConfigurationError, match=re.escape("LAB_CLIENT_SECRET: Field required")):
        PluginHost.load().create("lab", BackendSettings(plugin="crowdstrike", env_prefix="LAB_"))


def test_what_is_only_installed_is_no_backend() -> None:
    assert "crowdstrike" not in PluginHost.load().backends(BackendsSettings())


@pytest.mark.usefixtures("_a_client")
def test_what_is_set_up_is_a_backend() -> None:
    assert "crowdstrike" in PluginHost.load().backends(BackendsSettings())
