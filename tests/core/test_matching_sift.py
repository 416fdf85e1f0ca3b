"""Which records belong to an execution, and why each of the others does not."""

from __future__ import annotations

import pytest

from checking_core.contracts import Answer, Ask, MatchTier, Reason
from checking_core.matching.question import Question

from .records import ACCEPTED, ANY_ALERT, COMMAND, PID, TELEMETRY, after, an_alert, an_event, an_identity, sifted
from .records import tie_of as tied
from .records import why_not as missed

RULE = Question(ask=Ask.ALERT, rule="LSASS dump", named=True)
ALIVE = Question(ask=Ask.ALIVE, named=True)
OBSERVE = Question(ask=Ask.ALERT, observes=True)
MARKED = an_identity({"match": {"marker": "run-0001"}}, agent_pid=7)

OTHER_HOST = (Reason.ALERT_OTHER_HOST, True)
OTHER_RULE = (Reason.ALERT_OTHER_RULE, True)
OUTSIDE = (Reason.ALERT_OUTSIDE_WINDOW, True)
INCOMPLETE = (Reason.ALERT_FIELDS_INCOMPLETE, False)
TOOLING = (Reason.TOOLING, True)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (an_alert(), None),
        (an_alert(hosts=("ws02",)), OTHER_HOST),
        (an_alert(hosts=()), INCOMPLETE),
        (an_alert(hosts=(), addresses=("192.0.2.99",)), INCOMPLETE),
        (an_alert(rule="Mimikatz"), OTHER_RULE),
        (an_alert(rule=None), INCOMPLETE),
        (an_alert(event_at=after(-60)), OUTSIDE),
        (an_alert(event_at=None, created_at=None), INCOMPLETE),
        (an_alert(suppressed=True), (Reason.SUPPRESSED, True)),
        (an_alert(pid=7), TOOLING),
    ],
)
def test_a_candidate_belongs_or_has_one_reason_why_not(record, reason):
    assert missed(record, question=RULE, identity=an_identity(agent_pid=7)) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hosts": ("ws02",), "event_at": after(-60), "rule": "Mimikatz"}, OTHER_HOST),
        ({"hosts": (), "event_at": after(-60)}, OUTSIDE),
        ({"hosts": (), "rule": "Mimikatz"}, OTHER_RULE),
        ({"pid": 7, "event_at": after(-60)}, TOOLING),
        ({"event_at": after(-60), "rule": None}, OUTSIDE),
        ({"event_at": None, "created_at": None, "rule": "Mimikatz"}, OTHER_RULE),
    ],
)
def test_what_is_certain_outweighs_what_is_not_told_and_the_host_comes_first(changes, reason):
    assert missed(an_alert(**changes), question=RULE, identity=an_identity(agent_pid=7)) == reason


@pytest.mark.parametrize(
    ("times", "held"),
    [
        ({"event_at": ACCEPTED.start}, True),
        ({"event_at": ACCEPTED.end}, True),
        ({"event_at": after(-0.001)}, False),
        ({"event_at": after(902)}, False),
        ({"event_at": after(5), "created_at": after(86_400)}, True),
        ({"event_at": after(-60), "created_at": after(5)}, False),
        ({"event_at": None, "created_at": after(5)}, True),
        ({"event_at": None, "created_at": after(-5)}, False),
        ({"event_at": after(-60), "event_until": after(5)}, True),
        ({"event_at": after(-60), "event_until": after(-5)}, False),
        ({"event_at": after(5), "event_until": after(-60)}, True),
        ({"event_at": after(800), "event_until": after(9000)}, True),
    ],
)
def test_an_alert_is_judged_by_its_event_then_by_its_creation_and_by_its_interval_if_it_sums_up(times, held):
    assert missed(an_alert(**times), question=RULE) == (None if held else OUTSIDE)


def test_only_an_alert_is_judged_by_its_creation():
    assert missed(an_event(event_at=None, indexed_at=after(5)), question=TELEMETRY) == INCOMPLETE


def test_what_the_agent_itself_does_is_no_trace_of_what_it_started():
    identity = an_identity(agent_pid=7)
    for question in (RULE, TELEMETRY, OBSERVE):
        assert missed(an_alert(pid=7), question=question, identity=identity) == TOOLING


def test_what_the_agent_itself_does_shows_that_its_host_is_reporting():
    assert tied(an_event(pid=7), question=ALIVE, identity=an_identity(agent_pid=7)) is not None


def test_a_marker_outweighs_host_and_process_but_not_the_time():
    elsewhere = an_alert(title="run-0001", hosts=("ws02",), pid=7)
    assert tied(elsewhere, identity=MARKED) == ("marker", ("marker",))
    assert missed(an_alert(title="run-0001", event_at=after(-60)), identity=MARKED) == OUTSIDE
    assert missed(an_alert(title="run-0001", suppressed=True), identity=MARKED) == (Reason.SUPPRESSED, True)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (an_alert(techniques=("T1059",)), OTHER_RULE),
        (an_alert(commands=("notepad.exe",)), OTHER_RULE),
        (an_alert(pid=5), INCOMPLETE),
        (an_alert(rule="Mimikatz", rule_id="r-1"), INCOMPLETE),
        (an_alert(users=("bob",)), INCOMPLETE),
        (an_alert(commands=("", "-"), techniques=("n/a",)), INCOMPLETE),
        (an_alert(rule=None), INCOMPLETE),
    ],
)
def test_what_only_the_host_ties_is_of_something_else_if_it_tells_of_what(record, reason):
    assert missed(record) == reason


def test_what_the_execution_does_not_tell_contradicts_nothing():
    stranger = an_alert(techniques=("T1059",), commands=("notepad.exe",))
    assert missed(stranger, identity=an_identity(technique_id=None, command="")) == INCOMPLETE


@pytest.mark.parametrize("question", [OBSERVE, ALIVE])
def test_whoever_observes_or_asks_for_a_sign_of_life_takes_everything_of_the_host(question):
    assert tied(an_alert(techniques=("T1059",)), question=question) is not None
    assert missed(an_alert(hosts=("ws02",)), question=question) == OTHER_HOST


def test_a_search_of_one_host_needs_no_host_in_its_records():
    scoped = Question(ask=Ask.TELEMETRY, named=True, scoped=True)
    assert tied(an_event(hosts=()), question=scoped) == ("named_rule", ("host", "rule"))
    assert missed(an_event(hosts=("ws02",)), question=scoped) == OTHER_HOST
    assert missed(an_event(hosts=()), question=TELEMETRY) == INCOMPLETE


@pytest.mark.parametrize(
    ("matched", "undecided", "rejected", "wanted", "answer"),
    [
        (0, 0, 0, 1, Answer.NO),
        (0, 0, 9, 1, Answer.NO),
        (1, 0, 0, 1, Answer.YES),
        (1, 5, 0, 1, Answer.YES),
        (0, 1, 0, 1, Answer.UNKNOWN),
        (2, 0, 0, 3, Answer.NO),
        (2, 1, 0, 3, Answer.UNKNOWN),
        (1, 1, 9, 3, Answer.NO),
        (3, 0, 0, 3, Answer.YES),
        (4, 0, 0, 3, Answer.YES),
    ],
)
def test_there_is_enough_or_not_or_it_cannot_be_told(matched, undecided, rejected, wanted, answer):
    records = [
        *(an_alert(id=f"m{number}") for number in range(matched)),
        *(an_alert(id=f"u{number}", rule=None) for number in range(undecided)),
        *(an_alert(id=f"r{number}", rule="Mimikatz") for number in range(rejected)),
    ]
    found = sifted(*records, question=Question(ask=Ask.ALERT, rule="LSASS dump", named=True, min_count=wanted))
    assert found.answer is answer
    assert (len(found.matched), len(found.undecided), len(found.rejected)) == (matched, undecided, rejected)


def test_the_firmest_match_comes_first_then_the_earliest_then_by_name():
    found = sifted(
        an_alert(id="a", event_at=None),
        an_alert(id="b", event_at=after(9)),
        an_alert(id="d", event_at=after(1)),
        an_alert(id="c", event_at=after(1)),
        an_alert(id="z", event_at=after(20), pid=PID),
        question=RULE,
    )
    assert [match.record.id for match in found.matched] == ["z", "c", "d", "b", "a"]
    assert found.tier is MatchTier.PROCESS


def test_nothing_matched_has_no_tier():
    assert sifted(question=RULE).tier is None


def test_the_nearest_miss_comes_first():
    found = sifted(
        an_alert(id="host", hosts=("ws02",)),
        an_alert(id="window", event_at=after(-60)),
        an_alert(id="rule 1", rule="x", event_at=after(5)),
        an_alert(id="rule 2", rule="x", event_at=after(4)),
        an_alert(id="tooling", pid=7, severity="high"),
        an_alert(id="severity", severity="low"),
        an_alert(id="suppressed", suppressed=True),
        question=Question(ask=Ask.ALERT, rule="LSASS dump", severity="high", named=True),
        identity=an_identity(agent_pid=7),
    )
    assert [miss.record.id for miss in found.rejected] == [
        "suppressed",
        "severity",
        "tooling",
        "rule 2",
        "rule 1",
        "window",
        "host",
    ]


def test_a_record_that_came_twice_is_one():
    found = sifted(an_alert(), an_alert(), question=RULE)
    assert len(found.matched) == 1


@pytest.mark.parametrize(
    ("fuller", "poorer"),
    [
        (an_alert(), an_alert(rule=None)),
        (an_alert(), an_alert(hosts=("ws02",))),
        (an_alert(rule=None), an_alert(hosts=("ws02",))),
        (an_alert(pid=PID), an_alert()),
        (an_alert(title="a"), an_alert(title="b")),
    ],
)
def test_of_two_versions_of_a_record_the_one_counts_that_says_most_whichever_came_first(fuller, poorer):
    first = sifted(fuller, poorer, question=RULE)
    assert first == sifted(poorer, fuller, question=RULE) == sifted(fuller, question=RULE)


def test_a_command_line_ties_an_alert_whose_rule_was_not_asked_for():
    assert tied(an_alert(commands=(COMMAND,)), question=ANY_ALERT) == ("artefact", ("host", "commands"))
