"""What each modifier and each kind of value means, one small case a line."""

from __future__ import annotations

import base64

import pytest
from sigma.modifiers import modifier_mapping

from .rules_and_events import a_rule, an_event, hits, lines_hit, parsed, refusal, rule_text

COMSVCS = r"C:\Windows\System32\rundll32.exe"


def encoded(text: str, encoding: str = "utf-8", before: str = "") -> str:
    return base64.b64encode((before + text).encode(encoding)).decode()


CASES = [
    # plain values: whole, in any case
    ({"A": "whoami"}, {"A": "WhoAmI"}, True),
    ({"A": "whoami"}, {"A": "whoami /all"}, False),
    ({"A": "ÉTÉ"}, {"A": "été"}, True),
    ({"A": ["one", "two"]}, {"A": "two"}, True),
    ({"A": ["one", "two"]}, {"A": "three"}, False),
    ({"A": "one", "B": "two"}, {"A": "one", "B": "two"}, True),
    ({"A": "one", "B": "two"}, {"A": "one", "B": "three"}, False),
    ([{"A": "one"}, {"B": "two"}], {"B": "two"}, True),
    ({"A": ""}, {"A": ""}, True),
    ({"A": ""}, {"A": "x"}, False),
    ({"A": ""}, {}, False),
    ({"Group": "x"}, {"Group": "x"}, True),
    # wildcards and their escapes
    ({"A": "wh*mi"}, {"A": "whoami"}, True),
    ({"A": "wh*mi"}, {"A": "whoami /all"}, False),
    ({"A": "wh?ami"}, {"A": "whoami"}, True),
    ({"A": "wh?ami"}, {"A": "whami"}, False),
    ({"A": "*a*b*"}, {"A": "xxAyyBzz"}, True),
    ({"A": "a*b"}, {"A": "a\nb"}, True),
    ({"A": r"a\*b"}, {"A": "a*b"}, True),
    ({"A": r"a\*b"}, {"A": "axb"}, False),
    ({"A": r"a\\*b"}, {"A": r"a\xxb"}, True),
    ({"A": r"C:\Windows\*"}, {"A": r"C:\Windows*"}, True),
    ({"A": "100%"}, {"A": "100%"}, True),
    ({"A": "100%"}, {"A": "100x"}, False),
    ({"A": "a_b"}, {"A": "axb"}, False),
    ({"A": "*"}, {"A": ""}, True),
    ({"A": "*"}, {}, False),
    ({"A": "a.c"}, {"A": "abc"}, False),
    # contains, startswith, endswith, all
    ({"A|contains": "rundll"}, {"A": COMSVCS}, True),
    ({"A|contains": "rundll"}, {"A": "x"}, False),
    ({"A|startswith": "c:\\windows"}, {"A": COMSVCS}, True),
    ({"A|startswith": "windows"}, {"A": COMSVCS}, False),
    ({"A|endswith": "\\RUNDLL32.exe"}, {"A": COMSVCS}, True),
    ({"A|endswith": "rundll32"}, {"A": COMSVCS}, False),
    ({"A|contains|all": ["run", "sys"]}, {"A": COMSVCS}, True),
    ({"A|contains|all": ["run", "sys", "x64"]}, {"A": COMSVCS}, False),
    # re: unanchored, case counts
    ({"A|re": r"run\w+32"}, {"A": COMSVCS}, True),
    ({"A|re": r"RUN\w+32"}, {"A": COMSVCS}, False),
    ({"A|re": r"^run"}, {"A": COMSVCS}, False),
    ({"A|re|i": r"RUN\w+32"}, {"A": COMSVCS}, True),
    ({"A|re|m": "^b$"}, {"A": "a\nb\nc"}, True),
    ({"A|re": "^b$"}, {"A": "a\nb\nc"}, False),
    ({"A|re|s": "a.b"}, {"A": "a\nb"}, True),
    ({"A|re": "a.b"}, {"A": "a\nb"}, False),
    ({"A|re|i|s": "A.B"}, {"A": "a\nb"}, True),
    ({"A|re|ignorecase": "IT"}, {"A": "it"}, True),
    ({"A|re|multiline": "^b$"}, {"A": "a\nb"}, True),
    ({"A|re|dotall": "a.b"}, {"A": "a\nb"}, True),
    ({"A|re": "it's"}, {"A": "it's"}, True),
    ({"A|re": r"(?<!x)y"}, {"A": "zy"}, True),
    # cidr
    ({"A|cidr": "10.0.0.0/8"}, {"A": "10.1.2.3"}, True),
    ({"A|cidr": "10.0.0.0/8"}, {"A": "11.1.2.3"}, False),
    ({"A|cidr": "10.0.0.0/8"}, {"A": "10.evil.example"}, False),
    ({"A|cidr": "::1/128"}, {"A": "0:0:0:0:0:0:0:1"}, True),
    ({"A|cidr": "10.0.0.0/8"}, {"A": "::ffff:10.1.2.3"}, True),
    ({"A|cidr": ["10.0.0.0/8", "fe80::/10"]}, {"A": "FE80::1%eth0"}, True),
    # numbers
    ({"A": 5}, {"A": 5}, True),
    ({"A": 5}, {"A": "5"}, True),
    ({"A": 5}, {"A": 5.0}, True),
    ({"A": 5}, {"A": "0x5"}, False),
    ({"A|gt": 10}, {"A": "9"}, False),
    ({"A|gt": 10}, {"A": "11"}, True),
    ({"A|gte": 10}, {"A": 10}, True),
    ({"A|lt": 20}, {"A": "100"}, False),
    ({"A|lt": 20}, {"A": "-3"}, True),
    ({"A|lte": 20}, {"A": "20.0"}, True),
    ({"A|lt": 20}, {"A": "1_0"}, False),
    ({"A|lt": 20}, {"A": "nan"}, False),
    ({"A|gt": 1}, {"A": "many"}, False),
    ({"A|gt": 1}, {}, False),
    # base64, base64offset, utf16
    ({"A|base64": "foobar"}, {"A": encoded("foobar")}, True),
    ({"A|base64offset|contains": "foobar"}, {"A": encoded("foobar", before="x")}, True),
    ({"A|base64offset|contains": "foobar"}, {"A": encoded("foobar", before="xy")}, True),
    ({"A|base64offset|contains": "foobar"}, {"A": encoded("other")}, False),
    ({"A|wide|base64offset|contains": "http"}, {"A": encoded("http://", "utf-16-le", "ab")}, True),
    ({"A|utf16be|base64offset|contains": "http"}, {"A": encoded("http://", "utf-16-be")}, True),
    ({"A|wide|contains": "ab"}, {"A": "xa\0b\0y"}, True),
    ({"A|wide|contains": "ab"}, {"A": "xaby"}, False),
    # windash
    ({"A|windash|contains": " -foo"}, {"A": "x /FOO"}, True),
    ({"A|windash|contains": " -foo"}, {"A": "x –foo"}, True),  # noqa: RUF001 - a dash that Windows takes too
    ({"A|windash|contains|all": [" -foo", " -bar"]}, {"A": "x /foo -bar"}, True),
    ({"A|windash|contains|all": [" -foo", " -bar"]}, {"A": "x /foo"}, False),
    # cased
    ({"A|cased": "Foo"}, {"A": "Foo"}, True),
    ({"A|cased": "Foo"}, {"A": "foo"}, False),
    ({"A|contains|cased": "Foo"}, {"A": "a Foo b"}, True),
    ({"A|contains|cased": "Foo"}, {"A": "a foo b"}, False),
    ({"A|cased": "F*o"}, {"A": "fxo"}, False),
    # exists, null: only what is absent is null
    ({"A|exists": True}, {"A": ""}, True),
    ({"A|exists": True}, {"A": None}, False),
    ({"A|exists": False}, {}, True),
    ({"A|exists": False}, {"A": "x"}, False),
    ({"A": None}, {}, True),
    ({"A": None}, {"A": None}, True),
    ({"A": None}, {"A": ""}, False),
    ({"A": [None, "x"]}, {"A": "x"}, True),
    ({"A": [None, "x"]}, {}, True),
    ({"A": []}, {}, True),
    # booleans
    ({"A": True}, {"A": True}, True),
    ({"A": True}, {"A": "TRUE"}, True),
    ({"A": True}, {"A": 1}, False),
    ({"A": False}, {"A": "true"}, False),
    # fieldref
    ({"A|fieldref": "B"}, {"A": "Same", "B": "same"}, True),
    ({"A|fieldref": "B"}, {"A": "one", "B": "two"}, False),
    ({"A|fieldref": "B"}, {"A": "one"}, False),
    ({"A|fieldref": "B"}, {"A": "axb", "B": "a%b"}, False),
    ({"A|fieldref|startswith": "B"}, {"A": "abc", "B": "AB"}, True),
    ({"A|fieldref|endswith": "B"}, {"A": "abc", "B": "BC"}, True),
    ({"A|fieldref|contains": "B"}, {"A": "abc", "B": "B"}, True),
    ({"A|fieldref|contains": "B"}, {"A": "abc", "B": "x"}, False),
    # neq, and parts of a time
    ({"A|neq": "x"}, {"A": "y"}, True),
    ({"A|neq": "x"}, {"A": "X"}, False),
    ({"A|neq": "x"}, {}, True),
    ({"A|hour": 23}, {"A": "2020-10-18 23:49:40.854"}, True),
    ({"A|hour": 23}, {"A": "2020-10-18 22:49:40.854"}, False),
    ({"A|week": 42}, {"A": "2020-10-18T23:49:40Z"}, True),
    ({"A|year": 2020}, {"A": "no time"}, False),
    ({"A|year": 2020}, {"A": "2020-10-18T23:49:40Z"}, True),
    ({"A|month": 10}, {"A": "2020-10-18T23:49:40Z"}, True),
    ({"A|day": 18}, {"A": "2020-10-18T23:49:40Z"}, True),
    ({"A|day": 18}, {"A": "2020-10-19T23:49:40Z"}, False),
    ({"A|minute": 49}, {"A": "2020-10-18T23:49:40Z"}, True),
    # keywords: words anywhere
    (["mimikatz"], {"A": "x", "B": "run MIMIKATZ.exe"}, True),
    (["mimikatz"], {"A": "x"}, False),
    (["a*b"], {"A": "xxa--bxx"}, True),
    (["*mimi*"], {"A": "xmimix"}, True),
    ({"|all": ["one", "two"]}, {"A": "one", "B": "two"}, True),
    ({"|all": ["one", "two"]}, {"A": "one"}, False),
    ({"|re": "m[i1]m[i1]"}, {"B": "xm1mix"}, True),
    ([4688], {"A": "id 4688 there"}, True),
    # lists as values: any element
    ({"A": "two"}, {"A": ["one", "two"]}, True),
    ({"A": "one two"}, {"A": ["one", "two"]}, False),
    ({"A|contains|all": ["on", "tw"]}, {"A": ["one", "two"]}, True),
    ({"A|re": "^two$"}, {"A": ["one", "two"]}, True),
    ({"A": 3}, {"A": [1, [2, 3]]}, True),
    ({"A": None}, {"A": []}, True),
    ({"A|fieldref": "B"}, {"A": ["one", "two"], "B": ["two"]}, True),
    # nested objects have names with dots
    ({"user.name": "eve"}, {"user": {"name": "Eve"}}, True),
    ({"users.name": "eve"}, {"users": [{"name": "bob"}, {"name": "Eve"}]}, True),
]


def test_every_modifier_that_pysigma_knows_has_a_case():
    """A new one has to be thought of: what it means here, or why a rule with it is refused."""
    selections = [selection for selection, _, _ in CASES if isinstance(selection, dict)]
    tried = {modifier for selection in selections for field in selection for modifier in field.split("|")[1:]}
    assert set(modifier_mapping) - tried == {"expand", "utf16"}  # which have tests of their own


@pytest.mark.parametrize(("selection", "fields", "expected"), CASES)
def test_a_selection_hits_what_it_says_and_nothing_else(selection, fields, expected):
    assert hits(selection, fields) is expected


@pytest.mark.parametrize(("selection", "fields", "expected"), CASES)
def test_not_is_the_opposite_also_where_the_field_is_absent(selection, fields, expected):
    detection = {"selection": selection, "condition": "not selection"}
    assert hits(None, fields, detection=detection) is not expected


DETECTION = {"one": {"A": "1"}, "two_a": {"B": "2"}, "two_b": {"C": "3"}}


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        ("one and two_a", {"A": 1, "B": 2}, True),
        ("one and two_a", {"A": 1}, False),
        ("one or two_a", {"B": 2}, True),
        ("one and not two_a", {"A": 1}, True),
        ("one and not two_a", {"A": 1, "B": 2}, False),
        ("not (one or two_a)", {"C": 3}, True),
        ("1 of two_*", {"C": 3}, True),
        ("1 of two_*", {"A": 1}, False),
        ("all of two_*", {"B": 2, "C": 3}, True),
        ("all of two_*", {"B": 2}, False),
        ("1 of them", {"C": 3}, True),
        ("all of them", {"A": 1, "B": 2}, False),
        ("one and 1 of two_*", {"A": 1, "C": 3}, True),
        ("one and not 1 of two_*", {"A": 1, "C": 3}, False),
        (["one", "two_a"], {"B": 2}, True),
    ],
)
def test_conditions(condition, fields, expected):
    assert hits(None, fields, detection={**DETECTION, "condition": condition}) is expected


def test_more_than_a_thousand_alternatives_are_one_question():
    values = [f"value {number}" for number in range(3000)]
    assert hits({"A": values}, {"A": "value 2999"})
    assert not hits({"A": values}, {"A": "value 3000"})


def test_an_alternative_of_one_field_does_not_reach_into_the_next_value():
    rule = a_rule({"A|contains": "ab"})
    assert lines_hit(rule, an_event({"A": "xa"}), an_event({"A": "bx"}, 2), an_event({"A": "xabx"}, 3)) == [3]


@pytest.mark.parametrize("hostile", ["x\0whoami", "\0whoami", "whoami\0x", "who\0ami"])
def test_nobody_hides_or_shows_a_value_by_putting_the_separator_into_it(hostile):
    rules = [a_rule({"A|startswith": "whoami"}), a_rule({"A|endswith": "whoami"}), a_rule({"A|contains": "whoami"})]
    found = [bool(lines_hit(rule, an_event({"A": hostile}), an_event({"A": "other"}, 2))) for rule in rules]
    assert found == [hostile.startswith("whoami"), hostile.endswith("whoami"), "whoami" in hostile]


def test_placeholders_stand_for_the_values_that_are_given():
    text = rule_text({"A|expand": "%admins%"})
    assert parsed(text).refused[0].problem == "has the placeholder %admins%, for which no values are given"
    rule = parsed(text, admins=["root", "eve"]).rules[0]
    assert lines_hit(rule, an_event({"A": "eve"}), an_event({"A": "bob"}, 2), an_event({"A": "root"}, 3)) == [1, 3]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"selection": {"A|nonsense": "x"}}, "nonsense"),
        ({"selection": {"A|re": "("}}, "regular expression"),
        ({"selection": {"A|cidr": "10.0.0.0/99"}}, "CIDR"),
        ({"selection": {"A|gt": "many"}}, ""),
        ({"selection": {"A|utf16|base64": "x"}}, "use wide"),
        ({"selection": [{"B": "x"}, {"A|utf16|base64offset|contains": "x"}]}, "use wide"),
        ({"selection": {"|cidr": "10.0.0.0/8"}}, "without naming a field"),
        ({"selection": [None]}, ""),
        ({"detection": {"selection": {"A": "x"}, "condition": "selection and filter"}}, "filter"),
        ({"detection": {"selection": {"A": "x"}, "condition": "selection | count() > 5"}}, ""),
        ({"detection": {"condition": "selection"}}, ""),
        ({"detection": {"selection": {"A": "x"}}}, "condition"),
        ({"logsource": {}}, "log source"),
        ({"correlation": {"type": "event_count"}}, "correlation rule"),
        ({"filter": {"rules": ["x"]}}, "filter"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_words(changes, problem):
    assert problem.lower() in refusal(**({"selection": {"A": "x"}} | changes)).lower()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("just words", "is no mapping"),
        ("{", "is no YAML"),
        ("title: x", ""),
        ("a: &a [*a]", ""),
        (rule_text({"A": "x"}) + "title: again\n", "stands twice"),
    ],
)
def test_what_is_no_rule_is_refused_in_words(text, problem):
    found = parsed(text)
    assert (found.given, len(found.refused)) == (1, 1)
    assert problem in found.refused[0].problem


def test_a_file_may_hold_several_rules_and_each_is_counted():
    correlation = "title: C\ncorrelation: {type: event_count}\n"
    found = parsed("---\n".join([rule_text({"A": 1}, title="one"), correlation, rule_text({"A": 2}, title="two")]))
    assert [rule.title for rule in found.rules] == ["one", "two"]
    assert [rule.title for rule in found.refused] == ["C"]
    assert found.given == 3


def test_documents_may_say_what_they_have_in_common():
    common = "action: global\ntitle: Common\nauthor: An Author\nlogsource: {product: windows}\n"
    one, two = (f"detection: {{s: {{A: {number}}}, condition: s}}\n" for number in (1, 2))
    found = parsed(f"{common}---\n{one}---\n{two}")
    assert [(rule.title, rule.author) for rule in found.rules] == [("Common", "An Author")] * 2
    assert [lines_hit(rule, an_event({"A": 2})) for rule in found.rules] == [[], [1]]


def test_a_rule_keeps_what_has_to_be_shown_with_a_match():
    rule = a_rule({"A": "x"}, license="DRL 1.1", status="test")
    assert (rule.title, rule.author, rule.licence, rule.level, rule.status) == (
        "A rule",
        "An Author",
        "DRL 1.1",
        "high",
        "test",
    )
    assert rule.techniques == ("T1059.001",)
    assert len(rule.digest) == 64
