"""What a check asks of a record, whoever's it is."""

from __future__ import annotations

from typing import Any

import pytest

from checking_core.contracts import Ask, DetectionConfig
from checking_core.contracts.detection_config import AlertQuestion
from checking_core.errors import QueryInvalidError
from checking_core.matching.question import Question, objection_to, question_of

from .records import an_alert, an_event

INCOMPLETE = ("alert_fields_incomplete", False)
OTHER_RULE = ("alert_other_rule", True)


def question(ask: Ask, **config: Any) -> Question:
    return question_of(ask, DetectionConfig.model_validate(config))


def objected(alert: Any, **asked: Any) -> tuple[str, bool] | None:
    objection = objection_to(alert, Question(ask=Ask.ALERT, **asked))
    return None if objection is None else (objection.reason.value, objection.certain)


def test_an_alert_section_names_what_counts():
    alert = {"rule": "LSASS dump", "rule_id": "r-1", "techniques": ["T1003"], "severity": ">=high", "min_count": 3}
    assert question(Ask.ALERT, alert=alert, min_count=9) == Question(
        ask=Ask.ALERT,
        rule="LSASS dump",
        rule_id="r-1",
        techniques=("T1003",),
        severity=">=high",
        min_count=3,
        named=True,
    )


@pytest.mark.parametrize(
    ("alert", "named"),
    [
        ({"rule": "x"}, True),
        ({"rule_id": "x"}, True),
        ({"query": "x"}, True),
        ({"techniques": ["T1003"]}, False),
        ({"severity": "high"}, False),
        ({}, False),
    ],
)
def test_a_detection_is_named_by_its_rule_or_a_query(alert, named):
    assert question(Ask.ALERT, alert=alert).named is named


@pytest.mark.parametrize("ask", [Ask.RULE, Ask.TELEMETRY])
def test_a_search_names_what_it_looks_for(ask):
    assert question(ask, min_count=2, **{ask: {"query": "*"}}) == Question(ask=ask, named=True, min_count=2)


def test_a_sigma_rule_is_named_and_rules_that_nobody_named_observe():
    """A backend that evaluates rules by itself may be asked for all of them: a hit of any is of the host, no more."""
    assert question(Ask.RULE, sigma="rules/lsass.yml").named
    assert question(Ask.RULE) == Question(ask=Ask.RULE, observes=True)


def test_one_sign_of_life_is_enough_and_only_has_to_be_of_the_host():
    asked = question(Ask.ALIVE, min_count=5)
    assert (asked.min_count, asked.named, asked.host_is_enough) == (1, True, True)


def test_a_search_of_one_host_is_told_as_such():
    for ask in Ask:
        for config in (DetectionConfig(), DetectionConfig(alert=AlertQuestion(rule="x"))):
            assert question_of(ask, config, scoped=True).scoped
            assert not question_of(ask, config).scoped
            assert question_of(ask, config).ask is ask


@pytest.mark.parametrize(
    ("config", "observes"),
    [
        ({}, True),
        ({"expect": "observe"}, True),
        ({"expect": "blocked"}, False),
        ({"rule": {"query": "x"}, "prevention": True}, False),
        ({"alert": {}}, False),
    ],
)
def test_only_a_check_that_asks_for_nothing_observes_whatever_happens(config, observes):
    asked = question(Ask.ALERT, **config)
    assert (asked.observes, asked.host_is_enough) == (observes, observes)


@pytest.mark.parametrize("severity", [">=hgh", "<=", ">p1", "< ", f">{'x' * 60}"])
def test_a_comparison_with_what_is_no_severity_is_refused(severity):
    name = severity.lstrip("<=>").strip()
    known = "informational, low, medium, high, critical"
    with pytest.raises(QueryInvalidError) as refused:
        question(Ask.ALERT, alert={"severity": severity})
    assert str(refused.value) == f"detection_config.alert.severity: {name[:50]!r} is no number and none of {known}"


@pytest.mark.parametrize("severity", ["high", "P1", "=P1", ">= high", "<=critical", ">70", "<12.5", "moderate"])
def test_a_severity_is_a_word_of_the_product_or_something_to_compare_with(severity):
    assert question(Ask.ALERT, alert={"severity": severity}).severity == severity


@pytest.mark.parametrize(
    ("asked", "told", "objection"),
    [
        ({"rule": "LSASS dump"}, {"rule": "LSASS dump"}, None),
        ({"rule": " lsass DUMP"}, {"rule": "LSASS dump "}, None),
        ({"rule": "LSASS dump"}, {"rule": "LSASS dump 2"}, OTHER_RULE),
        ({"rule": "LSASS dump 2"}, {"rule": "LSASS dump"}, OTHER_RULE),
        ({"rule": "LSASS*"}, {"rule": "lsass dump"}, None),
        ({"rule": "* - LSASS dump - Rule"}, {"rule": "Endpoint - LSASS dump - Rule"}, None),
        ({"rule": "LSASS*"}, {"rule": "Dump of LSASS"}, OTHER_RULE),
        ({"rule": "[Endpoint] is it on? *"}, {"rule": "[Endpoint] is it on? yes"}, None),
        ({"rule": "[Endpoint]*"}, {"rule": "E"}, OTHER_RULE),
        ({"rule": "is it on?*"}, {"rule": "is it one"}, OTHER_RULE),
        ({"rule": "LSASS dump"}, {"rule": None}, INCOMPLETE),
        ({"rule": "LSASS dump"}, {"rule": ""}, INCOMPLETE),
        ({"rule": "LSASS dump"}, {"rule": "Unknown "}, INCOMPLETE),
        ({"rule_id": "r-1"}, {"rule_id": "R-1"}, None),
        ({"rule_id": "r-1"}, {"rule_id": "r-10"}, OTHER_RULE),
        ({"rule_id": "r-1"}, {"rule_id": None}, INCOMPLETE),
        ({"rule": "a", "rule_id": "r-1"}, {"rule": "renamed", "rule_id": "r-1"}, None),
        ({"rule": "a", "rule_id": "r-1"}, {"rule": "a", "rule_id": "r-2"}, None),
        ({"rule": "a", "rule_id": "r-1"}, {"rule": "b", "rule_id": "r-2"}, OTHER_RULE),
        ({"rule": "a", "rule_id": "r-1"}, {"rule": "b", "rule_id": None}, OTHER_RULE),
        ({"rule": "a", "rule_id": "r-1"}, {"rule": None, "rule_id": None}, INCOMPLETE),
        ({"rule": "a"}, {"rule": None, "rule_aliases": ("r-1", "A")}, None),
        ({"rule": "a"}, {"rule": None, "rule_aliases": ("r-1",)}, INCOMPLETE),
        ({"rule_id": "r-1"}, {"rule_id": "r-2", "rule_aliases": ("r-3",)}, OTHER_RULE),
    ],
)
def test_the_rule_that_is_named_is_the_one_that_counts(asked, told, objection):
    assert objected(an_alert(**told), **asked) == objection


@pytest.mark.parametrize(
    ("asked", "told", "objection"),
    [
        (("T1003.001",), ("T1003.001",), None),
        (("T1003",), ("t1003.001",), None),
        (("T1003.001",), ("T1003",), None),
        (("T1086",), ("T1059.001",), None),
        (("T1059", "T1003"), ("T1003.001",), None),
        (("T1003.001",), ("T1003.002",), OTHER_RULE),
        (("T1003.001",), ("T1059", "T1105"), OTHER_RULE),
        (("T1003.001",), (), INCOMPLETE),
        (("T1003.001",), ("", "-"), INCOMPLETE),
        (("",), ("",), INCOMPLETE),
        (("",), ("T1003",), OTHER_RULE),
    ],
)
def test_the_technique_that_is_named_counts_with_its_family(asked, told, objection):
    assert objected(an_alert(techniques=told), techniques=asked) == objection


OTHER_SEVERITY = ("alert_other_severity", True)


@pytest.mark.parametrize(
    ("asked", "told", "objection"),
    [
        (">=high", "high", None),
        (">=high", "Critical", None),
        (">=high", "medium", OTHER_SEVERITY),
        (">high", "high", OTHER_SEVERITY),
        (">high", "critical", None),
        ("<=low", "informational", None),
        ("<=low", "low", None),
        ("<=low", "medium", OTHER_SEVERITY),
        ("<low", "low", OTHER_SEVERITY),
        ("<low", "Info", None),
        ("high", "HIGH ", None),
        ("=high", "high", None),
        (" = High ", "high", None),
        ("high", "critical", OTHER_SEVERITY),
        (">=medium", "moderate", None),
        ("critical", "severe", None),
        ("information", "informational", None),
        (">=high", None, INCOMPLETE),
        (">=high", "unknown", INCOMPLETE),
        ("P1", "unknown", INCOMPLETE),
        (">=high", "P1", INCOMPLETE),
        (">=high", "73", INCOMPLETE),
        (">=70", "high", INCOMPLETE),
        (">=70", "73", None),
        (">=70", "8", OTHER_SEVERITY),
        (">12.5", "12.6", None),
        (">12.5", "12.5", OTHER_SEVERITY),
        ("7", "7.0", None),
        (">=7", "-7", INCOMPLETE),
        ("P1", "p1", None),
        ("P1", "P2", OTHER_SEVERITY),
        ("=P1", " P1", None),
    ],
)
def test_severities_are_compared_on_one_scale(asked, told, objection):
    assert objected(an_alert(severity=told), severity=asked) == objection


def test_a_suppressed_alert_is_one_that_nobody_gets_to_see():
    assert objected(an_alert(suppressed=True, rule="LSASS dump"), rule="LSASS dump") == ("suppressed", True)


def test_what_is_certain_outweighs_what_is_not_told():
    alert = an_alert(rule=None, techniques=(), severity="low")
    assert objected(alert, rule="a", techniques=("T1003",), severity="high") == OTHER_SEVERITY


def test_nothing_is_demanded_of_what_is_no_alert():
    assert objected(an_event(rule="b"), rule="a", severity="high", techniques=("T1003",)) is None


def test_an_alert_of_which_nothing_is_demanded_may_be_any():
    assert objected(an_alert(severity=None, rule=None)) is None


@pytest.mark.parametrize("wanted", [{"rule": "LSASS dump"}, {"rule_id": "6f1b3c1e"}, {"rule": "Endpoint Security"}])
def test_a_rule_may_be_named_by_any_of_its_names(wanted: dict[str, str]):
    alert = an_alert(rule="LSASS dump", rule_id="other", rule_aliases=("6f1b3c1e", "Endpoint Security"))
    assert objected(alert, **wanted) is None
    assert objected(alert, rule="Phishing", rule_id="7") == OTHER_RULE
