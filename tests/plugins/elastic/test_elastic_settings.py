"""Where Elasticsearch is, in the names of the ecosystem, and never with a secret shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import ValidationError

from checking_core import Outcome, Reason
from checking_core.plugin import PluginHost
from checking_core.settings import BackendSettings, WorkerSettings
from checking_core.testing import a_task
from checking_core.worker.run_task import run_task
from checking_plugin_elastic.detector import ElasticDetector
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
        ({"api_key": "x"}, "ELASTIC_URL or ELASTIC_CLOUD_ID"),
        ({"url": "https://es.example"}, "ELASTIC_API_KEY"),
        ({"url": "https://es.example", "username": "u"}, "ELASTIC_PASSWORD"),
    ],
)
async def test_a_backend_that_is_not_set_up_says_so_and_asks_nobody(told: dict[str, str], words: str) -> None:
    detector = ElasticDetector("elastic", ElasticSettings(**told))
    result = await run_task(detector, a_task(), WorkerSettings(jitter_min=0, jitter_max=0))
    assert (result.outcome, result.reason, result.final) == (Outcome.INCONCLUSIVE, Reason.BACKEND_AUTH_FAILED, True)
    assert words in result.result_metadata["error"]
    health = await detector.self_check()
    assert health.ok is None
    assert words in health.detail


def test_an_id_of_no_deployment_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="ELASTIC_CLOUD_ID is no id"):
        ElasticSettings(cloud_id="nonsense")


def test_a_plugin_that_is_not_set_up_keeps_no_other_from_its_work() -> None:
    assert PluginHost.load().create("elastic", BackendSettings(plugin="elastic")).backend == "elastic"
