"""The secrets that a product issued, as they are copied into settings: by accident with more, and never shown."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.plugin.http import HttpSettings
from checking_core.settings import BackendSettings
from checking_plugin_crowdstrike.settings import CrowdStrikeSettings
from checking_plugin_elastic.settings import ElasticSettings
from checking_plugin_splunk.settings import SplunkSettings

MODELS: dict[str, type[HttpSettings]] = {
    "splunk": SplunkSettings,
    "elastic": ElasticSettings,
    "crowdstrike": CrowdStrikeSettings,
}
NEEDED = {
    "splunk": {"url": "https://siem.example"},
    "elastic": {"url": "https://siem.example"},
    "crowdstrike": {"client_id": "id"},
}
SECRETS = [("splunk", "token"), ("elastic", "api_key"), ("elastic", "bearer_token"), ("crowdstrike", "client_secret")]
UNSENDABLE = ["t\u00f6k-s3cret", "tok\ns3cret", "tok\x00s3cret", "\u201cs3cret\u201d"]

pytestmark = pytest.mark.parametrize(("product", "name"), SECRETS)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def made(product: str, **told: Any) -> HttpSettings:
    return MODELS[product](**NEEDED[product], **told)


@pytest.mark.parametrize("copied", ["s3cret\n", "s3cret\r\n", "  s3cret\t"])
def test_white_space_around_a_secret_is_no_part_of_it(product: str, name: str, copied: str) -> None:
    secret = getattr(made(product, **{name: copied}), name)
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == "s3cret"


@pytest.mark.parametrize("copied", UNSENDABLE)
def test_a_secret_that_cannot_be_sent_is_refused_and_not_shown(product: str, name: str, copied: str) -> None:
    with pytest.raises(ValidationError, match="cannot be sent") as refused:
        made(product, **{name: copied})
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def test_a_secret_that_cannot_be_sent_is_told_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, product: str, name: str
) -> None:
    for key, value in {**NEEDED[product], name: "t\u00f6k-s3cret"}.items():
        monkeypatch.setenv(f"LAB_{key.upper()}", value)
    with pytest.raises(ConfigurationError, match=f"LAB_{name.upper()}: .*cannot be sent") as refused:
        PluginHost.load().create("lab", BackendSettings(plugin=product, env_prefix="LAB_"))
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def test_a_secret_is_not_shown_with_what_else_is_wrong(product: str, name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        MODELS[product](**{name: "s3cret"})
    assert "s3cret" not in str(refused.value)
