"""What is known of an execution that its traces can be told by."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from checking_core.contracts import DetectionConfig
from checking_core.errors import QueryInvalidError
from checking_core.matching.command import Commands
from checking_core.matching.identity import SHORTEST_MARKER, digests_of, identity_of
from checking_core.matching.user import Account
from checking_core.matching.window import Window
from checking_core.testing.builders import ENDED, STARTED, a_context

from .records import an_identity

MD5, SHA256 = "0123456789abcdef" * 2, "0123456789abcdef" * 4


def test_an_execution_is_known_by_all_that_it_tells():
    lived = Window(STARTED, ENDED)
    context = a_context(
        host_aliases=("ws01.corp.example",),
        addresses=("192.0.2.10",),
        user=r"CORP\alice",
        command="sh -c whoami",
        plaintext_command="id",
        agent_pid=7,
    )
    found = identity_of(context, DetectionConfig(), lived)
    assert found.host.names == {"ws01", "ws01.corp.example"}
    assert found.host.addresses == {ip_address("192.0.2.10")}
    assert found.accounts == (Account("alice", "corp"),)
    assert found.commands == Commands.of("sh -c whoami", "id")
    assert (found.pid, found.agent_pid, found.lived, found.technique) == (4242, 7, lived, "T1003.001")
    assert (found.hashes, found.marker) == (frozenset(), None)


def test_an_expectation_adds_what_it_knows():
    config = {
        "match": {
            "aliases": ["sensor-1"],
            "addresses": "192.0.2.11",
            "user": ["bob", "eve"],
            "hashes": f"SHA256={SHA256.upper()}",
            "marker": " run-2026-0001 ",
        }
    }
    found = an_identity(config, user="alice", addresses=("192.0.2.10",))
    assert found.host.names == {"ws01", "sensor-1"}
    assert found.host.addresses == {ip_address("192.0.2.10"), ip_address("192.0.2.11")}
    assert found.accounts == (Account("alice"), Account("bob"), Account("eve"))
    assert found.hashes == {SHA256}
    assert found.marker == "run-2026-0001"


def test_a_target_elsewhere_has_nothing_of_the_agent():
    config = {"target": {"account": 111122223333, "principal": "purple-svc"}, "match": {"aliases": "prod"}}
    found = an_identity(config, user="alice", addresses=("192.0.2.10",), agent_pid=7)
    assert found.host.names == {"111122223333", "prod"}
    assert found.host.addresses == frozenset()
    assert found.accounts == (Account("purple-svc"),)
    assert (found.pid, found.agent_pid) == (None, None)


def test_nobody_is_known_to_act_on_a_target_that_names_nobody():
    assert an_identity({"target": {"host": "dc01"}}, user="alice").accounts == ()


def test_a_user_who_is_not_told_is_nobody():
    assert an_identity(user=None).accounts == ()


def test_a_target_that_names_only_a_user_is_on_the_agents_host():
    found = an_identity({"target": {"user": "bob"}}, user="alice", addresses=("192.0.2.10",))
    assert found.host.names == {"ws01"}
    assert found.host.addresses == {ip_address("192.0.2.10")}
    assert found.accounts == (Account("bob"),)
    assert found.pid == 4242


@pytest.mark.parametrize(
    ("pid", "agent_pid", "known"),
    [
        (42, None, (42, None)),
        (42, 7, (42, 7)),
        (None, 7, (None, 7)),
        (0, 7, (None, 7)),
        (42, 0, (42, None)),
        (42, 42, (None, None)),
    ],
)
def test_the_actions_process_is_known_where_it_is_not_the_agents_own(pid, agent_pid, known):
    found = an_identity(pid=pid, agent_pid=agent_pid)
    assert (found.pid, found.agent_pid) == known


@pytest.mark.parametrize("value", [None, "", "  ", [], [""], {}, True, 1.5])
def test_what_is_no_name_is_left_out(value):
    found = an_identity({"target": {"host": value, "user": value}, "match": {"aliases": value, "marker": value}})
    assert (found.host.names, found.marker) == ({"ws01"}, None)


def test_a_marker_that_would_be_found_by_chance_is_refused():
    assert an_identity({"match": {"marker": "x" * SHORTEST_MARKER}}).marker == "x" * SHORTEST_MARKER
    with pytest.raises(QueryInvalidError, match=r"detection_config\.match\.marker: has fewer than 8 characters"):
        an_identity({"match": {"marker": "x" * (SHORTEST_MARKER - 1)}})


@pytest.mark.parametrize(
    ("text", "digests"),
    [
        (SHA256, {SHA256}),
        (SHA256.upper(), {SHA256}),
        (f"SHA256={SHA256},MD5={MD5}", {SHA256, MD5}),
        ("abc123", set()),
        ("", set()),
    ],
)
def test_digests_are_read_out_of_any_form(text, digests):
    assert digests_of([text]) == digests
