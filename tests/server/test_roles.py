"""Which parts a process runs, and as whom."""

from __future__ import annotations

import pytest

from checking_core.errors import ConfigurationError
from checking_core.settings import BrokerRole
from checking_server.roles import FLOW, Role, chosen_roles, roles_named

EVERYTHING = frozenset(Role)


def test_words_may_hold_several_roles() -> None:
    assert roles_named(["api, accept", "gather,", ""]) == {Role.API, Role.ACCEPT, Role.GATHER}
    assert roles_named([]) == frozenset()


@pytest.mark.parametrize(
    ("word", "hint"), [("dispatcher", "did you mean dispatch"), ("API", "there are api"), ("x\n", "there are api")]
)
def test_a_word_that_is_no_role_is_told(word: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=hint):
        roles_named([f"api,{word}"])


def test_without_a_broker_a_process_runs_everything_or_an_api_alone() -> None:
    assert chosen_roles([], broker=False) == EVERYTHING
    assert chosen_roles(EVERYTHING, broker=False) == EVERYTHING
    assert chosen_roles([Role.API], broker=False) == {Role.API}


@pytest.mark.parametrize("role", sorted(EVERYTHING - {Role.API}))
def test_without_a_broker_no_part_of_the_flow_runs_apart(role: Role) -> None:
    for roles in ([role], EVERYTHING - {role}):
        with pytest.raises(ConfigurationError, match="CHECKING_AMQP_URL"):
            chosen_roles(roles, broker=False)


def test_over_a_broker_workers_are_apart_unless_they_are_named() -> None:
    assert chosen_roles([], broker=True) == EVERYTHING - {Role.WORKER} == FLOW | {Role.API}
    assert chosen_roles([Role.WORKER, Role.GATHER], broker=True) == {Role.WORKER, Role.GATHER}


def test_no_part_uses_the_rights_of_the_admin_or_of_the_red_team() -> None:
    assert {role.broker_role for role in Role} == set(BrokerRole) - {BrokerRole.ADMIN, BrokerRole.PUBLISHER}
