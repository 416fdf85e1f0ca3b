"""``checking plugins``: what is installed, what it can do, and with which settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.testing.fake_detector import FakeDetector
from checking_server.commands.backend_settings import settings_of
from checking_server.commands.plugins import list_plugins, show

Output = pytest.CaptureFixture[str]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed plugin that ends the process that imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_plugin.py").write_text("import sys\nsys.exit('\\x1b[31mnot today')\n")
    info = tmp_path / "checking_plugin_broken-3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: checking-plugin-broken\nVersion: 3\n")
    (info / "entry_points.txt").write_text("[checking.plugins]\nbroken = broken_plugin\n")


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"siem": {"plugin": "mock", "env_prefix": "SIEM_"}, "edr": {"plugin": "edr"}}
    monkeypatch.setenv("CHECKING_BACKENDS", json.dumps(told))


# --- list, show ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("broken")
def test_broken_plugins_are_listed_with_their_reason(capsys: Output, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "160")
    list_plugins()
    told = capsys.readouterr().out
    for words in ("mock", "loaded", "broken", "SystemExit: ␛[31mnot today"):
        assert words in told, words


@pytest.mark.usefixtures("broken")
def test_a_broken_plugin_is_shown_with_its_reason(capsys: Output):
    assert show("broken") == 1
    assert "checking-plugin-broken" in capsys.readouterr().out


@pytest.mark.usefixtures("backends")
def test_a_backend_that_nothing_serves_is_told(capsys: Output):
    list_plugins()
    assert "Nothing serves the backend edr" in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="backend edr: no plugin edr is installed"):
        show("edr")


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("name", ["mock", "siem"])
def test_a_plugin_tells_answers_backends_settings_health_and_keys(name: str, capsys: Output):
    assert show(name) == 0
    told = capsys.readouterr().out
    for words in ("checking-plugin-mock", "answers  alert, rule, telemetry, alive, prevention", "SIEM_SCENARIO = none"):
        assert words in told, words
    assert "health unknown: has no self-check" in told
    assert json.loads(told.partition("JSON Schema:\n")[2])["title"] == "MockConfig"


@pytest.mark.usefixtures("backends")
def test_a_backend_with_a_wrong_setting_is_shown_as_unusable(capsys: Output, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SIEM_SCENARIO", "nowhere.yml")
    assert show("siem") == 1
    assert "nowhere.yml" in capsys.readouterr().out


def test_an_unknown_plugin_names_the_nearest():
    with pytest.raises(NotFoundError, match="did you mean mock"):
        show("mokc")


# --- settings --------------------------------------------------------------------------------------------------


class AcmeSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ACME_")
    url: str = "https://acme.example"
    password: SecretStr = SecretStr("none")


def test_settings_have_the_names_of_their_backend_and_no_secrets(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PROD_URL", "https://prod.example")
    detector = FakeDetector()
    detector.settings = AcmeSettings(url="https://prod.example", password="hunter2")
    told = {setting.variable: (setting.value, setting.origin) for setting in settings_of(detector, "PROD_")}
    assert told["PROD_URL"] == ("https://prod.example", "environment")
    assert "hunter2" not in told["PROD_PASSWORD"][0]
    assert {setting.variable for setting in settings_of(detector, None)} == {"ACME_URL", "ACME_PASSWORD"}
