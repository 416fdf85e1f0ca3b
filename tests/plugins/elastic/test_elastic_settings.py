"""Where Elasticsearch is, in the names of the ecosystem, and never with a secret shown."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from checking_core.errors import ConfigurationError
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings, BackendsSettings
from checking_plugin_elastic.settings import ElasticSettings

CLOUD = "deployment:" + base64.b64encode(b"eu.cloud.example$es-uuid$kb-uuid").decode()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name", ["ELASTIC_URL", "ELASTICSEARCH_URL", "ELASTIC_BASE_URL", "ES_URL", "ELASTICSEARCH_ENDPOINTS"]
)
@pytest.mark.parametrize("key", ["ELASTIC_API_KEY", "ELASTICSEARCH_API_KEY"])
def test_the_names_of_other_tools_are_known(monkeypatch: pytest.MonkeyPatch, name: str, key: str) -> None:
    monkeypatch.setenv(name, "https://es.example:9200")
    monkeypatch.setenv(key, "encoded")
    settings = ElasticSettings()
    assert (settings.address, settings.authorization) == ("https://es.example:9200", "ApiKey encoded")


def test_ours_counts_before_that_of_another_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "https://other.example")
    monkeypatch.setenv("ELASTIC_URL", "https://ours.example")
    monkeypatch.setenv("ELASTIC_API_KEY", "x")
    assert ElasticSettings().address == "https://ours.example"


def test_the_names_of_other_tools_may_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ES_URL=https://es.example\nELASTIC_API_KEY=x\n")
    assert ElasticSettings().address == "https://es.example"


def test_a_backend_with_a_prefix_of_its_own_has_no_other_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "https://other.example")
    monkeypatch.setenv("LAB_URL", "https://lab.example")
    monkeypatch.setenv("LAB_API_KEY", "x")
    detector = PluginHost.load().create("lab", BackendSettings(plugin="elastic", env_prefix="LAB_"))
    assert isinstance(detector.settings, ElasticSettings)
    assert detector.settings.address == "https://lab.example"


def test_a_deployment_in_the_cloud_is_found_by_its_id() -> None:
    settings = ElasticSettings(cloud_id=CLOUD, username="checking", password="s3cret")
    assert settings.address == "https://es-uuid.eu.cloud.example:443"
    assert settings.authorization == "Basic " + base64.b64encode(b"checking:s3cret").decode()
    assert "s3cret" not in repr(settings)


def test_the_token_of_a_service_account_is_one() -> None:
    assert ElasticSettings(url="https://es.example", bearer_token="t").authorization == "Bearer t"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"LAB_API_KEY": "x"}, "LAB_*: set URL or CLOUD_ID"),
        ({"LAB_URL": "https://es.example"}, "set API_KEY, or BEARER_TOKEN, or USERNAME and PASSWORD"),
        ({"LAB_URL": "https://es.example", "LAB_USERNAME": "u"}, "USERNAME and PASSWORD"),
    ],
)
def test_what_is_half_set_up_is_told_by_the_names_of_its_variables(
    told: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        PluginHost.load().create("lab", BackendSettings(plugin="elastic", env_prefix="LAB_"))


def test_an_id_of_no_deployment_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="CLOUD_ID is no id"):
        ElasticSettings(cloud_id="nonsense")


def test_what_is_only_installed_is_no_backend() -> None:
    assert "elastic" not in PluginHost.load().backends(BackendsSettings())


def test_what_another_tool_was_told_is_enough_to_be_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ES_URL", "https://es.example")
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "x")
    assert "elastic" in PluginHost.load().backends(BackendsSettings())
