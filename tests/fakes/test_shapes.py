"""A fake answers in the shape that is recorded or specified: what it made up would prove nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from .process import Fake

HELD = {
    "api_key": "key",
    "indices": {"logs-1": [{"_id": "1", "@timestamp": "2026-11-20T19:28:38+00:00", "host.name": "ws01"}]},
}
ANY = {"range": {"@timestamp": {"gte": "2026-11-20T00:00:00+00:00", "lte": "2026-11-21T00:00:00+00:00"}}}
SEARCH = {"query": ANY, "size": 10, "track_total_hits": 11, "sort": [{"@timestamp": {"order": "asc"}}]}


def paths(value: Any, above: str = "") -> Iterator[str]:
    """The names of an answer, without what a document holds."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            path = f"{above}.{name}"
            yield path
            if name != "_source":
                yield from paths(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, above)


@pytest.fixture(scope="module")
def elastic() -> Iterator[Fake]:
    with Fake("tests.fakes.elastic:create_app", HELD) as fake:
        yield fake


@pytest.mark.parametrize(
    ("route", "body", "recorded"),
    [
        ("/logs-*/_search", SEARCH, "search_200"),
        (
            "/logs-*/_eql/search",
            {"query": 'any where host.name == "ws01"', "filter": ANY, "size": 10},
            "eql_sequence_200",
        ),
        ("/_query", {"query": "FROM logs-* | LIMIT 5", "filter": ANY}, "esql_200_CONSTRUCTED"),
        ("/other/_search", SEARCH, "error_429_CONSTRUCTED"),
    ],
)
def test_the_fake_of_elasticsearch_answers_in_a_known_shape(
    elastic: Fake, shared_data: Path, route: str, body: dict[str, Any], recorded: str
) -> None:
    headers = {"Authorization": "ApiKey key"}
    answer = httpx.post(f"{elastic.url}{route}", json=body, headers=headers).json()
    known = json.loads((shared_data / "backends" / "elastic" / f"{recorded}.json").read_text())["body"]
    optional = {".hits.events", ".hits.events._index", ".hits.events._id", ".hits.events._source", ".is_partial"}
    assert set(paths(answer)) - optional <= set(paths(known)), answer


SPLUNK = {
    "token": "key",
    "indexes": {"notable": [{"_time": "2026-11-20T19:28:38+00:00", "search_name": "x"}]},
    "fired": [{"savedsearch_name": "my_alert", "sid": "scheduler__1", "trigger_time": 1, "severity": 3}],
}
FORM = {
    "exec_mode": "normal",
    "allow_partial_results": "false",
    "earliest_time": "0",
    "latest_time": "2000000000",
}


@pytest.fixture(scope="module")
def splunk() -> Iterator[httpx.Client]:
    headers = {"Authorization": "Bearer key"}
    with Fake("tests.fakes.splunk:create_app", SPLUNK) as fake, httpx.Client(base_url=fake.url, headers=headers) as one:
        yield one


def test_the_fake_of_splunk_answers_in_a_known_shape(splunk: httpx.Client, shared_data: Path) -> None:
    folder = shared_data / "backends" / "splunk"
    notable = json.loads((folder / "json_results_notable_200.json").read_text())["body"]
    state = json.loads((folder / "xml_job_done_200.json").read_text())["body_xml"]
    created = splunk.post("/services/search/v2/jobs", data={**FORM, "search": "search index=notable | head 5"})
    assert (created.status_code, created.json().keys()) == (201, {"sid"})
    job = created.headers["Location"]
    content = splunk.get(job).json()["entry"][0]["content"]
    assert {name for name in content if name != "messages"} <= set(re.findall(r'<s:key name="(\w+)"', state))
    page = splunk.get(f"{job}/results", params={"offset": 0, "count": 10}).json()
    assert set(page) <= set(notable)
    assert set(page["results"][0]) <= {*notable["results"][0], "search_name"}
    assert splunk.delete(job).json() == {"messages": [{"type": "INFO", "text": "Search job cancelled."}]}


@pytest.mark.parametrize(
    ("answer", "case"),
    [
        (lambda one: one.get("/services/search/v2/jobs/1.1"), "404_unknown_sid"),
        (lambda one: one.get("/services/server/info", headers={"Authorization": "Bearer old"}), "401_bad_token"),
    ],
)
def test_the_fake_of_splunk_refuses_in_recorded_words(
    splunk: httpx.Client, shared_data: Path, answer: Callable[[httpx.Client], httpx.Response], case: str
) -> None:
    known = json.loads((shared_data / "backends" / "splunk" / "json_errors.json").read_text())["cases"][case]
    told = answer(splunk)
    assert (told.status_code, told.json()) == (known["status"], known["body"])


@pytest.fixture(scope="module")
def falcon() -> Iterator[Fake]:
    alert = {"composite_id": "c:ind:d:1", "created_timestamp": "2026-11-20T19:28:38Z"}
    with Fake("tests.fakes.crowdstrike:create_app", {"client": ["id", "key"], "alerts": [alert, alert]}) as fake:
        yield fake


@pytest.mark.parametrize(
    ("generation", "condition", "recorded"),
    [
        (1, "", ["alerts_queries_v2_200", "alerts_entities_v2_sekoia_200"]),
        (1, "no filter", ["alerts_entities_403_sekoia"]),
        (2, "", ["alerts_entities_403_sekoia"]),
    ],
)
def test_the_fake_of_falcon_answers_in_a_known_shape(
    falcon: Fake, shared_data: Path, generation: int, condition: str, recorded: list[str]
) -> None:
    body = {"filter": condition, "sort": "created_timestamp|asc", "limit": 1}
    headers = {"Authorization": f"Bearer token-{generation}"}
    answer = httpx.post(f"{falcon.url}/alerts/combined/alerts/v1", json=body, headers=headers).json()
    known = {path for name in recorded for path in paths(_falcons(shared_data, name)["body"])}
    specified = {".meta.powered_by", ".meta.pagination.after", ".resources.created_timestamp"}
    assert set(paths(answer)) - specified <= known, answer


def test_the_fake_of_falcon_issues_tokens_in_a_known_shape(falcon: Fake, shared_data: Path) -> None:
    known = _falcons(shared_data, "oauth2_token_201")
    answer = httpx.post(f"{falcon.url}/oauth2/token", data={"client_id": "id", "client_secret": "key"})
    assert answer.status_code == known["status"]
    assert answer.json().keys() == known["body"].keys()
    assert _headers(known) - {"x-ratelimit-remaining"} <= answer.headers.keys()


def test_the_fake_of_falcon_refuses_a_wrong_secret_in_a_known_shape(falcon: Fake, shared_data: Path) -> None:
    known = _falcons(shared_data, "oauth2_token_403")
    answer = httpx.post(f"{falcon.url}/oauth2/token", data={"client_id": "id", "client_secret": "wrong"})
    assert answer.status_code == known["status"]
    assert set(paths(answer.json())) - {".resources"} <= set(paths(known["body"]))


def test_the_fake_of_falcon_limits_in_a_known_shape(falcon: Fake, shared_data: Path) -> None:
    known = _falcons(shared_data, "rate_limited_429")
    falcon.tell({"client": ["id", "key"], "limited_until": 4102444800})
    answer = httpx.post(f"{falcon.url}/oauth2/token")
    assert answer.status_code == known["status"]
    assert _headers(known) <= answer.headers.keys()


def _falcons(shared_data: Path, name: str) -> dict[str, Any]:
    return json.loads((shared_data / "backends" / "crowdstrike" / f"{name}.json").read_text())


def _headers(known: Mapping[str, Any]) -> set[str]:
    return {name.lower() for name in known["headers"]}
