"""``checking plugins``: what is installed, what it can do, and with which settings."""

from __future__ import annotations

import json
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from checking_core.errors import ConfigurationError, NotFoundError
from checking_core.plugin import GROUP
from checking_core.testing.fake_detector import FakeDetector
from checking_server.commands.backend_settings import settings_of
from checking_server.commands.plugins import list_plugins, new, show

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


# --- new -------------------------------------------------------------------------------------------------------


def test_a_project_is_written_under_the_names_of_its_plugin(tmp_path: Path, capsys: Output):
    new("my-edr", into=tmp_path)
    project = tmp_path / "checking-plugin-my-edr"
    assert str(project) in capsys.readouterr().out
    written = {str(path.relative_to(project)): path.read_text() for path in project.rglob("*") if path.is_file()}
    assert sorted(written) == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/checking_plugin_my_edr/__init__.py",
        "src/checking_plugin_my_edr/detector.py",
        "src/checking_plugin_my_edr/py.typed",
        "src/checking_plugin_my_edr/settings.py",
        "tests/test_my_edr.py",
    ]
    assert "class MyEdrDetector(SearchDetector)" in written["src/checking_plugin_my_edr/detector.py"]
    assert "CHECKING_MY_EDR_TOKEN" in written["README.md"]
    assert not [place for place, text in written.items() if "acme" in text.lower()]
    entry_points = tomllib.loads(written["pyproject.toml"])["project"]["entry-points"]
    assert entry_points == {GROUP: {"my-edr": "checking_plugin_my_edr"}}


def test_a_name_that_contains_that_of_the_template_is_left_alone(tmp_path: Path):
    new("acme-two", into=tmp_path)
    text = (tmp_path / "checking-plugin-acme-two/src/checking_plugin_acme_two/__init__.py").read_text()
    assert "from checking_plugin_acme_two.detector import AcmeTwoDetector" in text


@pytest.mark.parametrize(
    "name", ["", "-", "a-", "2fa", "Splunk", "a__b", "a.b", "../x", "a/b", "a b", "ä", "a\n", "x" * 41]
)
def test_what_is_no_name_is_refused(name: str, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="is no name of a plugin; write 1 to 40 of a-z") as refused:
        new(name, into=tmp_path)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_or_has_the_prefix_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="NAME: mock is taken, checking-plugin-mock is installed"):
        new("mock", into=tmp_path)
    with pytest.raises(ConfigurationError, match="NAME: leave checking-plugin- away"):
        new("checking-plugin-edr", into=tmp_path)


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_already_is_never_changed(kind: str, tmp_path: Path):
    target = tmp_path / "checking-plugin-edr"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="is there already; choose another name"):
        new("edr", into=tmp_path)
    assert list(tmp_path.iterdir()) == [target]
    assert not target.is_dir() or list(target.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(
        ConfigurationError, match=r"--into: .* cannot be made: No such file or directory; name a folder"
    ):
        new("edr", into=tmp_path / "nowhere")


def test_the_plugin_asks_for_this_release_of_core(tmp_path: Path):
    new("edr", into=tmp_path)
    written = tomllib.loads((tmp_path / "checking-plugin-edr/pyproject.toml").read_text())
    [core] = [text for text in written["project"]["dependencies"] if text.startswith("checking-core")]
    assert Requirement(core).specifier.contains(version("checking-core"))
