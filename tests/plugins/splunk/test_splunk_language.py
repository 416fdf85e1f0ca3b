"""A hostile value stays one literal in SPL, wherever it stands, and a query does nothing but read."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from checking_core import QueryInvalidError
from checking_plugin_splunk.commands import COMMANDS
from checking_plugin_splunk.language import marked, read, text_of

HOSTILE = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\|[]`*=(),$%\n\r\t "), min_size=1)
SEARCH_CANNOT = re.compile(r"\*|```|\A\s*[0-9A-Fa-f.:]+/\d{1,3}\s*\Z")
PLACES = [
    "index=a host=<> x=1",
    'index=a cmd="x <> y" | stats count by host',
    "index=a <>",
    "index=a host IN (<>, b) | head 7",
    "index=a [search index=b user=<> | fields host] | table host",
    "| tstats count where index=a host=<> by host",
    "index=a | where cmd=<> | head 5",
    'index=a | where cmd="x <> y" | table cmd',
    "index=a | eval x=if(cmd=<>, 1, 0) | search x=1",
    "index=a | where host IN <> | fields host",
]
EVALUATED = [place for place in PLACES if "where cmd" in place or "eval" in place or "where host IN" in place]


def filled(place: str, *values: str) -> str:
    """The query as Splunk gets it."""
    return " ".join(read(place.replace("<>", marked(values))).parts()).strip()


def scanned(query: str) -> tuple[str, list[str]]:
    """A query as Splunk splits it: what stands outside of its strings, and what stands in each of them."""
    outside, strings, within, at = "", [], None, 0
    while at < len(query):
        if within is None:
            assert query[at] != "\\", "nothing is escaped outside of strings"
            outside += "S" if query[at] == '"' else query[at]
            within = "" if query[at] == '"' else None
        elif query[at] == "\\":
            at += 1
            within += query[at]
        elif query[at] == '"':
            strings.append(within)
            within = None
        else:
            within += query[at]
        at += 1
    assert within is None, "a string is not closed"
    return outside, strings


@pytest.mark.parametrize("place", PLACES)
@given(HOSTILE)
@example('" OR index=* | delete "')
@example("\\")
@example('\\"')
@example("x] | outputlookup y [search z")
@example("`delete_all`")
@example("*/ \\u0022 \x00")
@example("\ue000a\ue001b\ue002 | delete")
def test_a_value_changes_nothing_but_itself(place: str, value: str) -> None:
    if place not in EVALUATED:
        assume(not SEARCH_CANNOT.search(value))
    outside, strings = scanned(filled(place, value))
    harmless, others = scanned(filled(place, "harmless"))
    assert outside.replace("urldecode(S)", "S") == harmless
    (own,) = (after for after, before in zip(strings, others, strict=True) if "harmless" in before)
    read_value = unquote(own) if "urldecode(S)" in outside else own
    shown = re.sub("[\ue000-\ue002]", "\ufffd", value)
    assert read_value == (f"x {shown} y" if '"x <> y"' in place else shown)


@pytest.mark.parametrize("place", [place for place in PLACES if place not in EVALUATED])
@pytest.mark.parametrize("value", ["*", "a*b", "``` x", "10.0.0.0/8", "fe80::/10", " 10.1.0.0/16 "])
def test_a_value_that_search_would_take_for_a_pattern_is_refused(place: str, value: str) -> None:
    if place in PLACES[:1] or '"' not in place:
        with pytest.raises(QueryInvalidError, match="where field"):
            filled(place, value)


@pytest.mark.parametrize("place", EVALUATED)
def test_a_value_with_a_star_is_itself_behind_where(place: str) -> None:
    assert "a*b" in filled(place, "a*b")


def test_what_is_not_plain_is_decoded_from_letters() -> None:
    assert filled("index=a | where cmd=<>", "`x`\n") == 'index=a | where cmd=urldecode("%60x%60%0A")'


def test_several_values_are_a_list_or_alternatives() -> None:
    assert filled("index=a host IN <>", "ws01", "ws01.corp") == 'index=a host IN ("ws01", "ws01.corp")'
    assert filled("index=a host IN <>", "ws01") == 'index=a host IN ("ws01")'
    assert filled("index=a <>", "ws01", "ws02") == 'index=a ("ws01" OR "ws02")'
    assert filled("index=a | where host IN (<>)", "ws01", "ws02") == 'index=a | where host IN ("ws01", "ws02")'


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("index=a host=<>", "behind IN"),
        ("index=a | where host=<>", "behind IN"),
        ('index=a "<>"', "within quotes"),
    ],
)
def test_several_values_stand_where_several_can(place: str, words: str) -> None:
    with pytest.raises(QueryInvalidError, match=words):
        filled(place, "ws01", "ws02")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ('index=a | rex "<>"', "no other command"),
        ("index=a | lookup <> x", "no other command"),
        ("index=a | where match(cmd, <>)", "pattern"),
        ('index=a | where like(cmd, "<>%")', "pattern"),
        ("index=a | where cmd LIKE <>", "pattern"),
        ("index=a | where searchmatch(<>)", "pattern"),
        ("`mine(<>)`", "outside of strings"),
        ("index=a ```<>```", "outside of strings"),
        ("index=a x=\\<>", "outside of strings"),
        ('index=a x="\\<>"', "outside of strings"),
        ('index=a "<>"=-1d', "name of a field"),
        ("index=a <> = -1d", "name of a field"),
        ("index=a x<>", "blank before"),
        ("index=a host=<>x", "blank before"),
        ('index=a "x"<>', "blank before"),
    ],
)
def test_a_placeholder_stands_where_it_can_be_itself(place: str, words: str) -> None:
    with pytest.raises(QueryInvalidError, match=words):
        filled(place, "value")


@pytest.mark.parametrize(
    "query",
    [
        "index=a | delete",
        "index=a | DELETE",
        "index=a|outputlookup x",
        "index=a | collect index=b",
        "index=a | sendemail to=x",
        "index=a | sendalert x",
        'index=a | map search="search index=b"',
        "index=a | script x",
        "index=a | rest /services/x",
        "index=a | loadjob x",
        "index=a | savedsearch x",
        "index=a | dbxquery x",
        "index=a [search index=b | outputcsv x]",
        "index=a [ | outputlookup x]",
        "index=a [[search x | delete] | delete]",
        "index=a | append [tscollect x]",
        "index=a | stats count by x | mcollect index=m",
        "| makeresults",
        "| inputlookup x",
        "  \n | inputlookup x",
        "```x``` | inputlookup x",
        "| rest /services/x",
        "| delete",
        'index=a "x" | "delete"',
        "index=a | (delete)",
        "index=a ```x``` | ```y``` delete",
    ],
)
def test_a_command_that_may_do_more_than_read_is_refused(query: str) -> None:
    with pytest.raises(QueryInvalidError, match="only read"):
        read(query)


@pytest.mark.parametrize(
    "query",
    [
        "index=a savedsearch=x",
        "index=a savedsplunk=x",
        '| from savedsearch:"x"',
        "| from inputlookup:x",
        "| union savedsearch:x [search index=a]",
        "index=a | append [| from lookup:x]",
    ],
)
def test_what_runs_something_unseen_is_refused(query: str) -> None:
    with pytest.raises(QueryInvalidError, match="not seen here"):
        read(query)


@given(st.from_regex(r"[a-z]{3,15}", fullmatch=True), st.sampled_from(["index=a | {} x", "index=a [{} x]"]))
def test_a_command_that_is_not_known_is_refused(command: str, query: str) -> None:
    assume(command not in COMMANDS)
    with pytest.raises(QueryInvalidError, match="only read"):
        read(query.format(command))


@pytest.mark.parametrize(
    "query",
    [
        'index=a "x | delete"',
        "index=a deleted | stats count by host | sort - count",
        'search index=a | eval x="| delete" | where x!=1',
        'index=a | rex "(?<x>[a-z]\\"\\|)" | spath',
        "index=a [search index=b | fields host] | join host [search index=c]",
        "`sysmon` EventCode=1 | `drop_dm_object_name(x)`",
        "| tstats count from datamodel=Endpoint.Processes by host | rename host AS h",
        "| from datamodel:x | search y=1",
        "| multisearch [search index=a] [search index=b]",
        "index=a ```what it is for``` | table x",
        "index=a don't",
    ],
)
def test_a_query_that_only_reads_is_left_alone(query: str) -> None:
    first, rest = read(query).parts()
    assert f"{first} {rest}".strip() == query.removeprefix("search ")


@pytest.mark.parametrize(
    "query",
    [
        "index=a earliest=-1d",
        "index=a Latest = now",
        'index=a "earliest"=-1d',
        "index=a _index_earliest=-1h",
        "index=a index_latest=1",
        "index=a starttime=01/01/2026:00:00:00",
        "index=a daysago=3",
        "index=a startminutesago=5",
        "index=a _time>1",
        "index=a | where _time >= 5",
        "index=a | where 5 < _time",
        "index=a | eval _time=now()",
        "index=a _indextime=5",
        "index=a | where _time IN (5)",
        "index=a [search index=b earliest=-1d]",
        "| tstats count where index=a earliest=-1d",
    ],
)
def test_a_time_range_of_its_own_is_refused(query: str) -> None:
    with pytest.raises(QueryInvalidError, match="time range"):
        read(query)


@pytest.mark.parametrize(
    "query",
    [
        "index=a | bin _time span=1m | stats count by _time",
        "index=a | eval t=_time | stats earliest(x) AS first latest(_time) AS last",
        'index=a "earliest=-1d"',
        "index=a | sort _time | table _time",
        "index=a | where x==earliest",
    ],
)
def test_the_time_may_be_named_where_it_narrows_nothing(query: str) -> None:
    assert read(query).indexes == ("a",)


@pytest.mark.parametrize(
    "query",
    [
        'index=a "open',
        "index=a `open",
        "index=a ]",
        "index=a \\| x",
        "index=a \\[search b]",
        "index=a [search b",
        'x="a\\"',
        "",
        " ",
    ],
)
def test_a_query_whose_ends_are_not_certain_is_refused(query: str) -> None:
    with pytest.raises(QueryInvalidError):
        read(query)


@pytest.mark.parametrize(
    ("query", "indexes", "scoped"),
    [
        ("foo", (), False),
        ("index=a OR index=b", ("a", "b"), True),
        ('index="win*" x', ("win*",), True),
        ("index IN (a, b)", ("a", "b"), True),
        ("index::a", ("a",), True),
        ("NOT index=a foo", (), False),
        ("index!=a", (), False),
        ("myindex=a", (), False),
        ('foo "index=a"', (), False),
        ("foo | search index=a", (), False),
        ("foo | `macro`", (), False),
        ("```all of``` index=a", ("a",), True),
        ("[search index=b | return host] index=a", ("a",), True),
        ("foo [search index=b]", (), False),
        ("`macro` foo", (), True),
        ("| multisearch [search index=a] [search index=b]", ("a", "b"), True),
        ("| tstats count from datamodel=Endpoint", (), True),
        ("| tstats count where host=x", (), False),
        ("| tstats count from a_namespace", (), False),
    ],
)
def test_what_a_query_searches_is_known(query: str, indexes: tuple[str, ...], scoped: bool) -> None:
    found = read(query)
    assert (found.indexes, found.is_scoped) == (indexes, scoped)


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("index=a | head 5", 5),
        ("index=a | head", 10),
        ("index=a | head 50 | tail 3 | table x", 3),
        ("index=a | top limit=4 host", 4),
        ("index=a | top host limit=4", 4),
        ("index=a | top limit=0 host", None),
        ("index=a | sort 7 - field2", 7),
        ("index=a | sort field2", 10_000),
        ("index=a | stats count", None),
        ("index=a | dedup host", 1),
        ("index=a | dedup 3 host", 3),
    ],
)
def test_a_limit_of_its_own_is_known(query: str, limit: int | None) -> None:
    assert read(query).own_limit == limit


@pytest.mark.parametrize(
    ("query", "retimes"),
    [
        ("index=a | bin _time span=1h | stats count by _time host", True),
        ("index=a | bucket span=5m _time", True),
        ("index=a | bin size", False),
        ("| tstats count where index=a by _time span=1h host", True),
        ("| tstats count where index=a by host", False),
        ("index=a | timechart count by host", True),
        ("index=a | chart count over _time by host", True),
        ("index=a | transaction host", True),
        ("index=a | stats min(_time) AS _time by host", True),
        ('index=a | rename first AS "_time"', True),
        ("index=a | append [search index=b | stats max(_time) as _time by host]", True),
        ("index=a | stats count by _time host", False),
        ("index=a | stats min(_time) AS first by host", False),
        ("index=a | sort _time | table _time host", False),
    ],
)
def test_whether_a_row_has_the_time_of_its_event_is_known(query: str, retimes: bool) -> None:
    assert read(query).retimes is retimes


@pytest.mark.parametrize(
    ("query", "indexes", "probes"),
    [
        ("index=a x", ("a",), ()),
        ("index=a | append [search index=b y]", ("a", "b"), ()),
        ("index=a | search index=b", ("a", "b"), ()),
        ("index=a | eval index=lower(b) | where index=c", ("a",), ()),
        ("`sysmon` x | `drop(y)`", (), ("search `sysmon` | head 1",)),
        ("index=a `sysmon` x", ("a",), ()),
        ("index=a | append [search `sysmon`]", ("a",), ("search `sysmon` | head 1",)),
        ("index=a | append [`sysmon(1)`]", ("a",), ("| `sysmon(1)` | head 1",)),
        ("| `sysmon`", (), ("| `sysmon` | head 1",)),
        ("| tstats count where index=a", ("a",), ()),
        ("| tstats `how` count from datamodel=E.P by x", (), ("| tstats count from datamodel=E.P | where count>0",)),
        (
            "| tstats summariesonly=t count from datamodel=E",
            (),
            ("| tstats summariesonly=t count from datamodel=E | where count>0",),
        ),
        ('| from datamodel:"E.P" | head 3', (), ("| tstats count from datamodel=E.P | where count>0",)),
        ("index=a | append [| datamodel E P search]", ("a",), ("| tstats count from datamodel=E | where count>0",)),
    ],
)
def test_what_has_to_be_there_for_a_silence_is_known(
    query: str, indexes: tuple[str, ...], probes: tuple[str, ...]
) -> None:
    found = read(query)
    assert (found.searched, found.probes(placed=False)) == (indexes, probes)


def test_a_macro_behind_an_index_that_is_put_before_it_is_no_place() -> None:
    assert read("`sysmon` x").probes(placed=True) == ()


@given(HOSTILE)
def test_a_name_for_a_search_is_one_string(value: str) -> None:
    outside, strings = scanned(text_of(value))
    assert (outside, strings) == ("S", [value.replace("```", "*")])
