"""Where Splunk is, and never with a secret shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings, BackendsSettings
from checking_plugin_splunk.settings import AlertSource, SplunkSettings


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_address_is_told_in_whole_or_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLUNK_TOKEN", "s3cret")
    monkeypatch.setenv("SPLUNK_HOST", "splunk.example")
    assert SplunkSettings().address == "https://splunk.example:8089"
    monkeypatch.setenv("SPLUNK_PORT", "443")
    monkeypatch.setenv("SPLUNK_SCHEME", "http")
    assert SplunkSettings().address == "http://splunk.example:443"
    monkeypatch.setenv("SPLUNK_URL", "https://other.example:8089")
    assert SplunkSettings().address == "https://other.example:8089"
    assert "s3cret" not in repr(SplunkSettings())


def test_certificates_are_checked_and_alerts_are_notable_events_unless_told_otherwise() -> None:
    settings = SplunkSettings(url="https://splunk.example:8089", token="x")
    assert settings.verify_ssl
    assert (settings.alert_source, settings.alerts_index) == (AlertSource.NOTABLE, "notable")
    assert settings.prevented_when is None


def test_what_tells_of_prevention_is_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLUNK_PREVENTED_WHEN", '{"action": "blocked"}')
    settings = SplunkSettings(url="https://splunk.example:8089", token="x")
    assert settings.prevented_when == {"action": "blocked"}


@pytest.mark.parametrize(
    ("told", "namespace"),
    [
        ({}, "/services"),
        ({"app": "SplunkEnterpriseSecuritySuite"}, "/servicesNS/nobody/SplunkEnterpriseSecuritySuite"),
        ({"app": "a/b", "owner": "me"}, "/servicesNS/me/a%2Fb"),
    ],
)
def test_an_app_gives_searches_its_knowledge_objects(told: dict[str, str], namespace: str) -> None:
    assert SplunkSettings(url="https://splunk.example:8089", token="x", **told).namespace == namespace


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"LAB_TOKEN": "x"}, "LAB_*: set URL or HOST"),
        ({"LAB_URL": "https://splunk.example:8089"}, "set TOKEN, or USERNAME and PASSWORD"),
        ({"LAB_HOST": "splunk.example", "LAB_USERNAME": "u"}, "USERNAME and PASSWORD"),
    ],
)
def test_what_is_half_set_up_is_told_by_the_names_of_its_variables(
    told: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        PluginHost.load().create("lab", BackendSettings(plugin="splunk", env_prefix="LAB_"))


@pytest.mark.parametrize("wrong", [{"port": 0}, {"scheme": "ftp"}, {"alert_source": "mail"}])
def test_what_makes_no_sense_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplunkSettings(url="https://splunk.example:8089", token="x", **wrong)


def test_what_is_only_installed_is_no_backend() -> None:
    assert "splunk" not in PluginHost.load().backends(BackendsSettings())
