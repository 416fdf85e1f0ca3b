"""A hostile value stays one literal in every language of Elasticsearch, and unsafe queries are refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checking_core import QueryInvalidError
from checking_plugin_elastic.language import Language, language_of, literal, read_dsl, refuse_unsafe

HOSTILE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\*/|?:(){}[]\n\r\t`u$ "), min_size=1)
TOKENS = {
    Language.LUCENE: re.compile(r'"(?:[^"\\]|\\[\s\S])*"'),
    Language.EQL: re.compile(r'"(?:[^"\\\r\n]|\\["\\btnfr]|\\u\{[0-9a-f]{1,8}\})*"'),
    Language.ESQL: re.compile(r'"(?:[^"\\\r\n]|\\[tnr"\\])*"'),
}
"""A string of each language, as its grammar has it."""


def value_of(token: str, language: Language) -> str:
    """What the product reads."""
    text = token[1:-1]
    match language:
        case Language.LUCENE:
            return re.sub(r"\\([\s\S])", r"\1", text)
        case Language.EQL:
            return re.sub(r"\\u\{([0-9a-f]+)\}", lambda found: chr(int(found[1], 16)), text)
    plain = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda found: plain.get(found[1], found[1]), text)


@pytest.mark.parametrize("language", TOKENS)
@given(HOSTILE)
@example('" or true or "')
@example("\\")
@example('\\"')
@example('"""')
@example("*/ | drop x // \\u{22}")
def test_a_value_is_one_string_and_itself(language: Language, value: str):
    written = literal((value,), language, within=False)
    assert TOKENS[language].fullmatch(written)
    assert value_of(written, language) == value


@pytest.mark.parametrize("language", TOKENS)
@given(HOSTILE)
@example('"')
@example("\\")
def test_a_value_within_quotes_does_not_end_them(language: Language, value: str):
    assert TOKENS[language].fullmatch(f'"{literal((value,), language, within=True)}"')


@given(HOSTILE)
@example("x OR *:*")
@example("OR")
@example("a) OR (b")
def test_a_value_that_stands_without_quotes_in_lucene_is_one_word(value: str):
    written = literal((value,), Language.LUCENE, within=True)
    assert re.fullmatch(r"(?:[0-9A-Za-z]|\\[\s\S])+", written)
    assert written not in ("AND", "OR", "NOT", "TO")


@given(HOSTILE)
def test_a_value_that_stands_without_quotes_in_eql_ends_nothing(value: str):
    assert re.fullmatch(r"(?:[0-9A-Za-z_.\-]|\\u\{[0-9a-f]+\})+", literal((value,), Language.EQL, within=True))


@given(HOSTILE, st.booleans())
@example('"}}, "match_all": {}, "x": {"y": {"z": "', True)
def test_a_value_in_dsl_is_one_string_and_itself(value: str, within: bool):
    written = literal((value,), Language.DSL, within=within)
    written = f'"{written}"' if within else written
    read = read_dsl(f'{{"term": {{"host.name": {written}}}}}')
    assert read == {"term": {"host.name": value.replace("\ue000", "\ufffd").replace("\ue001", "\ufffd")}}


@pytest.mark.parametrize("name", ["query_string", "simple_query_string", "wildcard", "regexp", "prefix"])
def test_a_placeholder_is_no_part_of_a_pattern(name: str):
    written = literal(("*",), Language.DSL, within=True)
    with pytest.raises(QueryInvalidError, match=name):
        read_dsl(json.dumps({"bool": {"must": [{name: {"query": "HERE"}}]}}).replace("HERE", written))


def test_several_values_are_a_list_of_the_language():
    several = ("ws01", "ws01.corp")
    assert literal(several, Language.LUCENE, within=False) == r'("ws01" OR "ws01\.corp")'
    assert literal(several, Language.EQL, within=False) == '("ws01", "ws01.corp")'
    assert literal(several, Language.ESQL, within=False) == '("ws01", "ws01.corp")'
    assert read_dsl(f'{{"terms": {{"host.name": {literal(several, Language.DSL, within=False)}}}}}') == {
        "terms": {"host.name": list(several)}
    }
    with pytest.raises(QueryInvalidError, match="several values"):
        literal(several, Language.EQL, within=True)


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("host:x AND @timestamp:[now-1h TO now]", Language.LUCENE),
        (r"\@timestamp:>2026", Language.LUCENE),
        ('any where @timestamp > "2026"', Language.EQL),
        ('any where "2026" < @timestamp', Language.EQL),
        ("from logs | where `@timestamp` >= now() - 1h", Language.ESQL),
    ],
)
def test_a_time_range_of_its_own_is_refused(query: str, language: Language):
    with pytest.raises(QueryInvalidError, match="time range"):
        refuse_unsafe(query, language, query)


@pytest.mark.parametrize(
    "query",
    [
        "from logs | eval `@timestamp` = date_trunc(1 hour, `@timestamp`) | stats count(*) by host.name, @timestamp",
        "from logs | stats count(*) by host.name, @timestamp = bucket(@timestamp, 1 hour)",
        "from logs | stats @timestamp = min(@timestamp) by host.name",
        "from logs | rename event.ingested as @timestamp",
        "from logs | RENAME @timestamp AS raised, event.created AS `@timestamp`",
        'from logs | grok message "%{TIMESTAMP_ISO8601:@timestamp} %{WORD:user.name}"',
        'from logs | dissect message "%{@timestamp} %{user.name}"',
    ],
)
def test_a_time_that_the_query_writes_itself_is_refused(query: str):
    """It is not when the event happened, and a row that seems to lie outside of the window would be left out."""
    with pytest.raises(QueryInvalidError, match="@timestamp"):
        refuse_unsafe(query, Language.ESQL, query)


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("from logs | stats first = min(@timestamp), count(*) by host.name, @timestamp", Language.ESQL),
        ('from logs | rename @timestamp as raised | where message == "rename x as @timestamp"', Language.ESQL),
        ("from logs | sort @timestamp desc | keep @timestamp, host.name", Language.ESQL),
        ('any where process.command_line == "@timestamp > 1"', Language.EQL),
        ('message:"the @timestamp: x"', Language.LUCENE),
    ],
)
def test_the_time_may_be_named_where_it_narrows_nothing(query: str, language: Language):
    assert refuse_unsafe(query, language, query) is None, "nothing is raised"  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    "template",
    [
        "any where true // don't\n and host.name == ${agent_host}",
        "any where user.name == 'x' and host.name == ${agent_host}",
        'any where host.name == ${agent_host} and x == "open',
        "from logs | where `a` == ${agent_host}",
        "any where true /* ' */ and host.name == ${agent_host}",
    ],
)
def test_a_placeholder_stands_where_its_quotes_are_certain(template: str):
    with pytest.raises(QueryInvalidError, match="double quotes"):
        refuse_unsafe(template, Language.EQL, template)
    refuse_unsafe(template.replace("${agent_host}", "1"), Language.EQL, template.replace("${agent_host}", "1"))


@pytest.mark.parametrize(
    "query",
    [
        "no json",
        "[]",
        '{"range": {"@timestamp": {"gte": "now-1h"}}}',
        '{"bool": {"filter": [{"range": {"@timestamp": {}}}]}}',
        '{"script": {"script": "true"}}',
        '{"function_score": {"script_score": {}}}',
        '{"term": {"@timestamp": "2026-11-20"}}',
        '{"bool": {"must": [{"match": {"@timestamp": {"query": "2026-11-20"}}}]}}',
        '{"query_string": {"query": "@timestamp:[now-1s TO now]"}}',
        '{"query_string": {"query": "host:x AND \\\\@timestamp:>2026"}}',
        '{"query_string": {"query": "[now-1s TO now]", "default_field": "@timestamp"}}',
        '{"simple_query_string": {"query": "2026", "fields": ["@timestamp^2"]}}',
        '{"multi_match": {"query": "2026", "fields": ["host.name", "@timestamp"]}}',
    ],
)
def test_dsl_that_is_none_or_too_much_is_refused(query: str):
    with pytest.raises(QueryInvalidError):
        read_dsl(query)


@pytest.mark.parametrize("name", ["post_filter", "min_score", "runtime_mappings", "knn", "collapse", "rescore", "from"])
def test_a_body_in_dsl_says_nothing_beside_its_query_that_would_be_left_out(name: str):
    with pytest.raises(QueryInvalidError, match=name):
        read_dsl(json.dumps({"query": {"match_all": {}}, "size": 10, name: {}}))


@pytest.mark.parametrize(
    "query", [{"exists": {"field": "@timestamp"}}, {"query_string": {"query": 'message: "the @timestamp: x"'}}]
)
def test_dsl_may_name_the_time_where_it_narrows_nothing(query: dict[str, Any]):
    assert read_dsl(json.dumps(query)) == query


@pytest.mark.parametrize(
    "query",
    [
        {"match": {"a": "b"}},
        {"query": {"match": {"a": "b"}}},
        {
            "query": {"match": {"a": "b"}},
            "size": 1,
            "sort": [{"@timestamp": "desc"}],
            "_source": ["a"],
            "track_total_hits": True,
        },
    ],
)
def test_dsl_is_a_query_or_a_body_that_holds_one(query: dict[str, Any]):
    assert read_dsl(json.dumps(query)) == {"match": {"a": "b"}}


@pytest.mark.parametrize(
    ("written", "query", "language"),
    [(None, "a: b", "lucene"), (None, ' {"match": 1}', "dsl"), ("ES|QL", "", "esql"), ("EQL", "", "eql")],
)
def test_the_language_is_named_or_seen(written: str | None, query: str, language: str):
    assert language_of(written, query) == language


def test_an_unknown_language_is_told():
    with pytest.raises(QueryInvalidError, match="lucene, dsl, eql, esql"):
        language_of("kql")
