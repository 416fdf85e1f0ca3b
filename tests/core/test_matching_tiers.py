"""How firmly a record belongs to an execution."""

from __future__ import annotations

import msgspec
import pytest

from checking_core.contracts import Ask, MatchTier
from checking_core.matching.host import Place
from checking_core.matching.question import Question
from checking_core.matching.tiers import RANK, is_of_agent, place_of, tie
from checking_core.matching.window import Window

from .records import ANY_ALERT, COMMAND, PID, TELEMETRY, after, an_alert, an_event, an_identity

SHA256 = "0123456789abcdef" * 4
TEN_SECONDS_LONG = msgspec.structs.replace(an_identity(), lived=Window(after(0), after(10)))
MARKER = {"match": {"marker": "run-0001"}}
ALERT_OF_RULE = Question(ask=Ask.ALERT, rule="LSASS dump", named=True)


def tied(record, *, place=Place.SAME, question=ANY_ALERT, config=None, identity=None, **context):
    found = tie(identity or an_identity(config, **context), record, place, question)
    return None if found is None else (found.tier, found.fields)


def test_the_tiers_rank_from_marker_to_host():
    assert sorted(RANK, key=RANK.__getitem__) == [
        MatchTier.MARKER,
        MatchTier.PROCESS,
        MatchTier.ARTEFACT,
        MatchTier.NAMED_RULE,
        MatchTier.TECHNIQUE,
        MatchTier.HOST,
    ]


@pytest.mark.parametrize(
    ("fields", "tier", "matched"),
    [
        ({"pid": PID}, MatchTier.PROCESS, ("host", "pid")),
        ({"pid": 5, "ancestors": (6, PID)}, MatchTier.PROCESS, ("host", "ancestors")),
        ({"commands": (COMMAND,)}, MatchTier.ARTEFACT, ("host", "commands")),
        ({"commands": ("other", COMMAND)}, MatchTier.ARTEFACT, ("host", "commands")),
        ({"hashes": (f"SHA256={SHA256}",)}, MatchTier.ARTEFACT, ("host", "hashes")),
        ({"users": (r"CORP\alice",)}, MatchTier.ARTEFACT, ("host", "users")),
        ({"users": ("bob", "alice")}, MatchTier.ARTEFACT, ("host", "users")),
        ({"users": ("alice",), "commands": ("",)}, MatchTier.ARTEFACT, ("host", "users")),
        ({"techniques": ("T1003.001",)}, MatchTier.TECHNIQUE, ("host", "techniques")),
        ({"techniques": ("T1003",)}, MatchTier.TECHNIQUE, ("host", "technique_family")),
        ({"techniques": ("T1003", "T1003.001")}, MatchTier.TECHNIQUE, ("host", "techniques")),
        ({"techniques": ("T1003.002",)}, MatchTier.HOST, ("host",)),
        ({"pid": 5, "ancestors": (6,)}, MatchTier.HOST, ("host",)),
        ({"users": ("bob",)}, MatchTier.HOST, ("host",)),
        ({"hashes": ("f" * 64,)}, MatchTier.HOST, ("host",)),
        ({}, MatchTier.HOST, ("host",)),
        ({"commands": (COMMAND,), "hashes": (SHA256,)}, MatchTier.ARTEFACT, ("host", "commands", "hashes")),
        ({"pid": PID, "commands": (COMMAND,)}, MatchTier.PROCESS, ("host", "pid")),
        ({"commands": (COMMAND,), "techniques": ("T1003.001",)}, MatchTier.ARTEFACT, ("host", "commands")),
    ],
)
def test_the_firmest_field_that_fits_makes_the_tier(fields, tier, matched):
    config = {"match": {"hashes": [SHA256]}}
    assert tied(an_alert(**fields), config=config, user="alice") == (tier, matched)


def test_a_user_who_was_seen_doing_something_else_ties_nothing():
    record = an_alert(users=("alice",), commands=("notepad.exe",))
    assert tied(record, user="alice") == (MatchTier.HOST, ("host",))


def test_an_account_that_every_host_has_ties_nothing():
    assert tied(an_alert(users=(r"NT AUTHORITY\SYSTEM",)), user="SYSTEM") == (MatchTier.HOST, ("host",))


@pytest.mark.parametrize("question", [TELEMETRY, ALERT_OF_RULE])
def test_what_the_author_named_ties_more_firmly_than_a_technique(question):
    record = an_alert(techniques=("T1003.001",))
    assert tied(record, question=question) == (MatchTier.NAMED_RULE, ("host", "rule"))
    assert tied(an_alert(commands=(COMMAND,)), question=question) == (MatchTier.ARTEFACT, ("host", "commands"))


@pytest.mark.parametrize(
    ("asked", "own", "fields"),
    [
        (("T1059",), "T1003.001", ("host", "technique_family")),
        (("T1059.001",), None, ("host", "techniques")),
        (("T1003.001",), "T1059.001", ("host",)),
        ((), "T1059.001", ("host", "techniques")),
        ((), "T1086", ("host", "techniques")),
        ((), None, ("host",)),
        ((), "", ("host",)),
    ],
)
def test_the_technique_asked_for_comes_before_the_executions_own(asked, own, fields):
    question = Question(ask=Ask.ALERT, techniques=asked)
    found = tied(an_alert(techniques=("T1059.001",)), question=question, technique_id=own)
    assert found is not None
    assert found[1] == fields


@pytest.mark.parametrize(("old", "new"), [("T1089", "T1562.001"), ("T1562", "T1685")])
def test_a_name_that_several_techniques_were_merged_into_makes_a_family_only(old, new):
    assert tied(an_alert(techniques=(new,)), technique_id=old) == (MatchTier.TECHNIQUE, ("host", "technique_family"))


def test_an_untold_technique_is_not_everybodys():
    assert tied(an_alert(techniques=("",)), technique_id="") == (MatchTier.HOST, ("host",))


@pytest.mark.parametrize(
    ("event", "tier"),
    [
        ({"event_at": after(0)}, MatchTier.PROCESS),
        ({"event_at": after(10)}, MatchTier.PROCESS),
        ({"event_at": after(11)}, MatchTier.HOST),
        ({"event_at": after(-1)}, MatchTier.HOST),
        ({"event_at": after(-60), "event_until": after(5)}, MatchTier.PROCESS),
        ({"event_at": None}, MatchTier.PROCESS),
    ],
)
def test_a_process_id_is_somebody_elses_once_its_process_has_ended(event, tier):
    found = tied(an_alert(pid=PID, **event), identity=TEN_SECONDS_LONG)
    assert found is not None
    assert found[0] is tier


def test_what_an_execution_left_running_is_known_by_its_ancestors_for_longer():
    record = an_alert(pid=5, ancestors=(PID,), event_at=after(60))
    assert tied(record, identity=TEN_SECONDS_LONG) == (MatchTier.PROCESS, ("host", "ancestors"))


@pytest.mark.parametrize("pid", [None, 0])
def test_an_unknown_process_id_ties_nothing(pid):
    for record in (an_alert(pid=pid), an_alert(pid=None), an_alert(pid=0, ancestors=(0,))):
        assert tied(record, pid=pid) == (MatchTier.HOST, ("host",))


def test_the_agents_own_process_is_no_part_of_the_executions_tree():
    record = an_alert(pid=5, ancestors=(7, 1))
    assert tied(record, agent_pid=7) == (MatchTier.HOST, ("host",))
    assert not is_of_agent(an_identity(agent_pid=7), record)
    assert is_of_agent(an_identity(agent_pid=7), an_alert(pid=7))
    assert not is_of_agent(an_identity(agent_pid=None), an_alert(pid=None))


@pytest.mark.parametrize("place", [Place.OTHER, Place.UNKNOWN])
def test_nothing_but_the_marker_ties_what_did_not_happen_on_the_host(place):
    everything = an_alert(pid=PID, commands=(COMMAND,), techniques=("T1003.001",), title="run-0001")
    assert tied(everything, place=place, question=ALERT_OF_RULE) is None
    assert tied(everything, place=place, question=ALERT_OF_RULE, config=MARKER) == (MatchTier.MARKER, ("marker",))


def test_an_address_ties_nothing_alone():
    assert tied(an_alert(), place=Place.ADDRESS) is None


@pytest.mark.parametrize(
    ("fields", "question", "matched"),
    [
        ({"pid": PID}, ANY_ALERT, (MatchTier.PROCESS, ("addresses", "pid"))),
        ({}, ALERT_OF_RULE, (MatchTier.NAMED_RULE, ("addresses", "rule"))),
        ({"techniques": ("T1003",)}, ANY_ALERT, (MatchTier.TECHNIQUE, ("addresses", "technique_family"))),
    ],
)
def test_an_address_ties_together_with_something_else(fields, question, matched):
    assert tied(an_alert(**fields), place=Place.ADDRESS, question=question) == matched


@pytest.mark.parametrize(
    "record",
    [
        an_alert(title="process run-0001.exe"),
        an_alert(title="RUN-0001"),
        an_alert(commands=("x", "cmd /c run-0001")),
        an_alert(fields={"a": {"b": ["no", {"c": ("run-0001",)}]}}),
        an_alert(fields={"a": 1, "b": None, "c": b"bytes", "d": "_run-0001_"}),
        an_event(fields={"CommandLine": "run-0001"}),
    ],
)
def test_a_marker_is_found_in_any_text_of_a_record(record):
    assert tied(record, config=MARKER) == (MatchTier.MARKER, ("marker",))


@pytest.mark.parametrize("title", ["run-00012", "xrun-0001", "run-000", "run_0001", "run 0001", "runX0001", ""])
def test_a_marker_stands_by_itself(title):
    assert tied(an_alert(title=title), config=MARKER) == (MatchTier.HOST, ("host",))


def test_a_marker_is_a_text_and_no_pattern():
    config = {"match": {"marker": "run.0001+"}}
    assert tied(an_alert(title="run.0001+"), config=config) == (MatchTier.MARKER, ("marker",))
    assert tied(an_alert(title="runx00011"), config=config) == (MatchTier.HOST, ("host",))


def test_a_record_is_read_up_to_a_limit():
    deep = {"texts": ["nothing"] * 3000}
    assert tied(an_alert(fields=deep), config=MARKER) == (MatchTier.HOST, ("host",))
    most = an_alert(fields={"first": "run-0001", "texts": ["nothing"] * 1000})
    assert tied(most, config=MARKER) == (MatchTier.MARKER, ("marker",))


@pytest.mark.parametrize(
    ("hosts", "addresses", "scoped", "place"),
    [
        ((), (), False, Place.UNKNOWN),
        ((), (), True, Place.SAME),
        ((), ("192.0.2.10",), False, Place.ADDRESS),
        ((), ("192.0.2.10",), True, Place.SAME),
        (("ws02",), (), True, Place.OTHER),
        (("ws02",), (), False, Place.OTHER),
        (("ws01",), (), False, Place.SAME),
    ],
)
def test_what_answers_a_search_of_one_host_happened_there_unless_it_says_otherwise(hosts, addresses, scoped, place):
    identity = an_identity(addresses=("192.0.2.10",))
    assert place_of(identity, an_event(hosts=hosts, addresses=addresses), scoped=scoped) is place
