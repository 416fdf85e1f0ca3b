"""A fake answers in the shape that is recorded or specified: what it made up would prove nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
