"""A placeholder becomes a literal of the query's language, whatever the target wrote."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core import DetectionConfig, QueryInvalidError
from checking_core.contracts.placeholder import UnclearQuotesError, strings_in
from checking_core.matching.identity import identity_of
from checking_core.matching.window import windows_of
from checking_core.plugin.placeholders import PLACEHOLDERS, Values, fill, is_scoped, values_of
from checking_core.testing import ENDED, a_context, a_task


def quote(values: tuple[str, ...], *, quoted: bool) -> str:
    literals = ", ".join(map(json.dumps, values))
    return literals[1:-1] if quoted else literals


def values(config: DetectionConfig | None = None, **context: object) -> Values:
    about, asked = a_context(**context), config or DetectionConfig()
    windows = windows_of(about, a_task().timing, now=ENDED + timedelta(hours=1))
    return values_of(about, identity_of(about, asked), windows, asked)


def test_every_placeholder_has_a_value_that_the_execution_tells():
    config = DetectionConfig(match={"marker": "purple-7f3a"})
    told = values(config, user="CORP\\alice", host_aliases=("aid-1",))
    assert set(told) == set(PLACEHOLDERS)
    assert {
        name: fill(f"${{{name}}}", told, quote) for name in ("agent_host", "host_names", "pid", "user", "marker")
    } == {
        "agent_host": '"ws01"',
        "host_names": '"aid-1", "ws01"',
        "pid": '"4242"',
        "user": '"CORP\\\\alice"',
        "marker": '"purple-7f3a"',
    }
    assert fill("${started_at}", told, quote) == '"2026-11-20T19:28:38+00:00"'


def test_the_command_is_the_plain_one_where_it_is_known():
    assert values(command="powershell -enc AAAA", plaintext_command="whoami")["command"] == ("whoami",)


def test_a_target_replaces_the_host_names():
    told = values(DetectionConfig(target={"account": "1234"}), host_aliases=("aid-1",))
    assert told["host_names"] == ("1234",)


@given(st.text(max_size=200))
def test_a_hostile_value_is_one_literal_and_is_not_read_again(command):
    told = {**values(), "command": (command,)} if command else values(command="${pid}")
    filled = fill("cmd = ${command}", told, quote)
    assert json.loads(filled.removeprefix("cmd = ")) == (command or "${pid}")


@pytest.mark.parametrize(
    ("query", "filled"),
    [
        ("a = ${command}", 'a = "x"'),
        ('a = "*${command}*"', 'a = "*x*"'),
        ("a = '${command}' b = ${command}", "a = 'x' b = \"x\""),
        (r'a = "\"${command}"', r'a = "\"x"'),
        ('a = "\'" b = ${command}', 'a = "\'" b = "x"'),
        ("no placeholder", "no placeholder"),
        ("$command {command} $${", "$command {command} $${"),
    ],
)
def test_within_quotes_a_value_gets_none_of_its_own(query, filled):
    assert fill(query, {"command": ("x",)}, quote) == filled


@pytest.mark.parametrize(
    "query",
    [
        r'a = """C:\""" or b = ${command}',
        r'a = ?"C:\" or b = ${command}',
        r'a = @"C:\" or b = ${command}',
        "user:O'Brien AND a = ${command}",
        "/* it's */ a = ${command} /* isn't */",
        '// a " b\na = ${command}',
        '```"``` a = ${command}',
        r"a = \" b = ${command}",
        'a = "never closed ${command}',
        "a = ${command} b = 'never closed",
    ],
)
def test_a_value_is_put_nowhere_where_it_is_not_certain_which_string_is_open(query):
    with pytest.raises(QueryInvalidError, match="write strings in plain quotes"):
        fill(query, {"command": ("x or true",)}, quote)
    assert fill(query.replace("${command}", "x"), {}, quote)


@given(st.text(alphabet="a \"'\\=${pid}", max_size=40))
def test_a_string_of_a_query_ends_where_its_quote_is_closed(text):
    try:
        spans = strings_in(text)
    except UnclearQuotesError:
        return
    outside = "".join(text[end:start] for (_, end), (start, _) in pairwise([(0, 0), *spans, (len(text), 0)]))
    assert not {'"', "'"} & set(outside)
    assert all(text[start] == text[end - 1] and end - start > 1 for start, end in spans)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("${comand}", "did you mean command"),
        ("${}", "unknown placeholder"),
        ("${marker}", "which this execution does not tell"),
    ],
)
def test_what_cannot_be_filled_in_makes_the_query_invalid(query, problem):
    with pytest.raises(QueryInvalidError, match=problem):
        fill(query, values(), quote)


@pytest.mark.parametrize(
    ("query", "target", "scoped"),
    [
        ("host=${agent_host}", None, True),
        ("host in (${host_names})", None, True),
        ("cmd=${command}", None, False),
        (None, None, False),
        ("host=${agent_host}", {"host": "dc01"}, False),
        ("host in (${host_names})", {"host": "dc01"}, True),
    ],
)
def test_a_query_is_scoped_if_it_asks_for_the_executions_host_alone(query, target, scoped):
    assert is_scoped(query, DetectionConfig(target=target)) is scoped
