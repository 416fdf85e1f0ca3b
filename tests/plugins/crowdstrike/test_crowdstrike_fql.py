"""A hostile value stays one literal in a filter, and no filter gets around the check's window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fakes.fql import Condition, Text, UnreadableError, conditions_in, filter_of

from checking_core import Ask, DetectionConfig, QueryInvalidError, SearchRequest
from checking_core.matching.window import Window
from checking_core.plugin.placeholders import fill
from checking_plugin_crowdstrike.fql import literal, moment, own_condition
from checking_plugin_crowdstrike.queries import asked

START = datetime(2026, 11, 20, 19, 0, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(minutes=15))
INSIDE = {"created_timestamp": (START + timedelta(minutes=1)).isoformat(), "last_seen": START.isoformat()}
OUTSIDE = {"created_timestamp": "2020-01-01T00:00:00Z", "last_seen": "2020-01-01T00:00:00Z"}
HOSTILE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"\\*?[](){}:,+!~<>=/|` \n\r\t\0$"))
FILTERS = st.text(st.sampled_from("'\\*[]():,+!~<>='\"ab ") | st.characters(exclude_categories=["Cs"]), max_size=40)
"""What looks like a filter, and breaks where such things break."""


def request(query: str | None, ask: Ask = Ask.ALERT, **changes: object) -> SearchRequest:
    return SearchRequest(ask=ask, query=query, window=WINDOW, limit=1000, config=DetectionConfig(), **changes)


@given(HOSTILE)
@example("','")
@example("'+hostname:!'")
@example("'),(device.hostname:'*")
@example("\\")
@example("\\'")
@example("*")
@example("\\*'")
def test_a_value_is_one_string_and_itself(value: str) -> None:
    assert conditions_in(f"cmdline:{literal((value,))}") == [Condition("cmdline", "", (Text(value),))]


@given(st.lists(HOSTILE, min_size=2))
def test_several_values_are_as_many_strings(values: list[str]) -> None:
    assert conditions_in(f"cmdline:{literal(tuple(values))}") == [
        Condition("cmdline", "", tuple(Text(value) for value in values))
    ]


@given(HOSTILE)
@example("'")
@example("\\")
@example("*")
def test_a_value_within_quotes_does_not_end_them_and_is_no_pattern(value: str) -> None:
    written = literal((value,), within=True)
    assert conditions_in(f"cmdline:'*{written}*'") == [Condition("cmdline", "", (Text(value, (0, len(value))),))]


@given(HOSTILE, HOSTILE)
@example("' or x:'", "\\")
def test_a_filled_filter_has_the_conditions_of_its_template_and_stays_within_the_window(
    host: str, command: str
) -> None:
    template = "(hostname:${agent_host},cmdline:'*${command}*')+product:'epp'"
    values = {"agent_host": (host,), "command": (command,)}
    filled = fill(template, values, lambda told, *, quoted: literal(told, within=quoted))
    first, second, *fields = conditions_in(asked(request(filled)).condition)
    assert (first.field, second.field) == ("created_timestamp", "created_timestamp")
    assert [one.field for one in fields] == ["hostname", "cmdline", "product"]
    assert [one.values[0].text for one in fields] == [host, command, "epp"]


@given(HOSTILE)
def test_the_names_of_hosts_are_values(name: str) -> None:
    found = conditions_in(asked(request(None, hosts=(name,))).condition)
    assert {one.field for one in found[2:]} == {"device.hostname"}
    short = name.partition(".")[0]
    assert Condition("device.hostname", "~", (Text(short),)) in found
    assert Condition("device.hostname", "", (Text(short, (len(short),)),)) in found


@pytest.mark.parametrize("ask", [Ask.ALERT, Ask.ALIVE])
@given(query=FILTERS)
@example(query="a:'b'),(c:'d'")
@example(query="a:'b',created_timestamp:>'2000-01-01T00:00:00Z'")
@example(query="a:!'b'")
@example(query="a:'b',c:!*")
@example(query=")+(a:*,b:!*")
def test_no_filter_of_an_author_reaches_beyond_the_window(ask: Ask, query: str) -> None:
    try:
        test = filter_of(asked(request(query or "x:'y'", ask)).condition)
    except (QueryInvalidError, UnreadableError):
        return  # refused here, or by Falcon
    assert not test({**OUTSIDE, "a": "a", "b": "b"})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("hostname:'a'),(hostname:'b'", "is not open"),
        ("(hostname:'a'", "lacks a \\)"),
        ("hostname:['a'", "lacks a \\]"),
        ("hostname:['a')", "is not open"),
        ("hostname:'a", "not certain"),
        ("hostname:'a\\'", "not certain"),
        ('hostname:"a"', "single quotes"),
        ("created_timestamp:>'2026-11-20T00:00:00Z'", "time range"),
        ("product:'epp'+timestamp:>'now-1d'", "time range"),
        ("UPDATED_TIMESTAMP : >'now-1d'", "time range"),
        ("last_seen:>'now-1d'", "time range"),
        ("first_seen:<'now-1d'", "time range"),
        ("start_time:<'now-1d'", "time range"),
    ],
)
def test_an_unsafe_filter_is_refused_in_words(query: str, words: str) -> None:
    with pytest.raises(QueryInvalidError, match=words):
        own_condition(query)


def test_a_text_that_looks_like_a_time_range_is_a_text() -> None:
    assert own_condition("cmdline:'*timestamp:*'") == "(cmdline:'*timestamp:*')"


def test_several_values_cannot_stand_within_quotes() -> None:
    with pytest.raises(QueryInvalidError, match="several values"):
        literal(("a", "b"), within=True)


@pytest.mark.parametrize("written", ["cql", "lucene", "spl"])
def test_another_language_is_refused(written: str) -> None:
    with pytest.raises(QueryInvalidError, match="is not fql"):
        asked(request("a:'b'", language=written))


@pytest.mark.parametrize("written", [None, "fql", "FQL"])
def test_fql_is_known_by_its_name_and_without(written: str | None) -> None:
    assert asked(request("a:'b'", language=written)).condition.endswith("+(a:'b')")


def test_a_lone_surrogate_can_be_sent() -> None:
    assert literal(("a\ud800b",)).encode() == "'a\ufffdb'".encode()


def test_a_time_is_told_in_utc_and_whole_seconds_that_hold_it() -> None:
    told = datetime(2026, 11, 20, 20, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    assert moment(told) == "'2026-11-20T19:00:00Z'"
    assert moment(told, up=True) == "'2026-11-20T19:00:01Z'"


def test_what_was_created_in_the_last_part_of_a_second_is_in_the_window() -> None:
    window = Window(START, WINDOW.end + timedelta(milliseconds=700))
    found = filter_of(asked(msgspec.structs.replace(request(None), window=window)).condition)
    assert found({"created_timestamp": (WINDOW.end + timedelta(milliseconds=600)).isoformat()})


def test_alerts_are_searched_by_their_creation_and_hosts_by_their_last_contact() -> None:
    assert filter_of(asked(request(None)).condition)(INSIDE)
    assert not filter_of(asked(request(None)).condition)(OUTSIDE)
    alive = filter_of(asked(request("hostname:'a'", Ask.ALIVE)).condition)
    assert alive({"hostname": "a", "last_seen": (WINDOW.end + timedelta(days=9)).isoformat()})
    assert not alive({"hostname": "a", **OUTSIDE})


@pytest.mark.parametrize("name", ["ws01", "WS01", "Ws01", "ws01.corp.example"])
@pytest.mark.parametrize("stored", ["ws01", "WS01", "Ws01", "WS01.corp.example"])
def test_a_narrower_search_finds_a_host_however_its_name_is_written(name: str, stored: str) -> None:
    test = filter_of(asked(request(None, hosts=(name,))).condition)
    assert test({**INSIDE, "device": {"hostname": stored}})
    assert not test({**INSIDE, "device": {"hostname": "dc02"}})


def test_a_narrower_search_finds_alerts_that_name_no_endpoint() -> None:
    test = filter_of(asked(request(None, hosts=("ws01",))).condition)
    assert test({**INSIDE, "source_endpoint_host_name": "ws01"})


def test_a_question_about_hosts_has_a_filter() -> None:
    with pytest.raises(QueryInvalidError, match="no query"):
        asked(request(None, Ask.ALIVE))


def test_a_filter_of_hosts_that_fits_into_no_address_is_refused() -> None:
    with pytest.raises(QueryInvalidError, match="longer than"):
        asked(request(f"hostname:{literal(('A' * 6000,))}", Ask.ALIVE))
