"""To which of several executions a record belongs."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import MatchTier
from checking_core.matching.attribution import Claim, ambiguous_checks

tiers = st.sampled_from(MatchTier)


def a_claim(execution: int, tier: MatchTier = MatchTier.PROCESS, *, check: int | None = None, **changes) -> Claim:
    fields = {
        "backend": "splunk",
        "record_id": "alert-1",
        "check_id": UUID(int=1000 + execution if check is None else check),
        "execution_id": UUID(int=execution),
        "procedure": f"recipe-{execution}",
        "tier": tier,
    }
    return Claim(**(fields | changes))


def ambiguous(*claims: Claim) -> set[int]:
    """The executions whose checks rest on records that belong to another one, or may."""
    return {check.int - 1000 for check in ambiguous_checks(claims)}


def test_a_record_that_one_execution_claims_is_its_own():
    assert ambiguous(a_claim(1)) == set()


def test_nobody_claims_nothing():
    assert ambiguous() == set()


def test_a_record_belongs_to_the_firmest_claim():
    assert ambiguous(a_claim(1, MatchTier.PROCESS), a_claim(2, MatchTier.NAMED_RULE)) == {2}


def test_equally_firm_claims_of_one_procedure_share_a_record():
    assert ambiguous(a_claim(1, procedure="same"), a_claim(2, procedure="same")) == set()


def test_equally_firm_claims_of_different_procedures_are_ambiguous():
    assert ambiguous(a_claim(1), a_claim(2)) == {1, 2}


def test_procedures_that_nobody_knows_are_not_one():
    assert ambiguous(a_claim(1, procedure=""), a_claim(2, procedure="")) == {1, 2}


def test_a_weaker_claim_takes_nothing_from_those_that_share():
    shared = [a_claim(1, procedure="same"), a_claim(2, procedure="same")]
    assert ambiguous(*shared, a_claim(3, MatchTier.HOST, procedure="same")) == {3}


def test_two_checks_of_one_execution_are_no_rivals():
    assert ambiguous_checks([a_claim(1, check=1), a_claim(1, MatchTier.HOST, check=2)]) == frozenset()
    assert ambiguous_checks([a_claim(1, check=1), a_claim(1, check=2, procedure="x")]) == frozenset()


def test_a_record_that_sums_up_several_things_is_everybodys():
    assert ambiguous(a_claim(1, shared=True), a_claim(2, MatchTier.HOST)) == set()


@pytest.mark.parametrize("other", [{"record_id": "alert-2"}, {"backend": "elastic"}])
def test_claims_on_different_records_do_not_meet(other):
    assert ambiguous(a_claim(1), a_claim(2, **other)) == set()


def test_one_record_of_its_own_makes_a_check_sure():
    contested = [a_claim(1), a_claim(2)]
    assert ambiguous(*contested, a_claim(2, MatchTier.HOST, record_id="alert-2")) == {1}


def test_a_record_that_only_stands_behind_the_headline_makes_no_headline_sure():
    """An alert of another execution does not become one's own by a trace that is."""
    own_trace = a_claim(2, record_id="event-2", decisive=False)
    assert ambiguous(a_claim(1), a_claim(2, MatchTier.NAMED_RULE), own_trace) == {2}


def test_a_record_that_stands_behind_one_headline_is_not_another_executions():
    assert ambiguous(a_claim(1, decisive=False), a_claim(2, MatchTier.HOST)) == {2}


def test_a_check_whose_headline_rests_on_nothing_is_in_no_doubt():
    assert ambiguous(a_claim(1, decisive=False), a_claim(2)) == {2}


claims = st.lists(
    st.builds(
        a_claim,
        st.integers(1, 4),
        tiers,
        record_id=st.sampled_from(["a", "b"]),
        procedure=st.sampled_from(["", "x", "y"]),
        shared=st.booleans(),
        decisive=st.booleans(),
    ),
    max_size=8,
)


@given(claims.flatmap(lambda told: st.tuples(st.just(told), st.permutations(told))))
def test_the_order_in_which_claims_came_decides_nothing(told):
    first, second = told
    assert ambiguous_checks(first) == ambiguous_checks([*second, *second])
