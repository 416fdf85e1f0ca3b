"""Which of two verdicts of one check stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import MatchTier, Outcome
from checking_core.matching.judge import outranks
from checking_core.matching.upgrade import outlasts

CLOSED = sorted(set(Outcome) - {Outcome.PENDING, Outcome.NOT_RUN})
verdicts = st.tuples(st.sampled_from(CLOSED), st.sampled_from([*MatchTier, None]))


@given(stands=verdicts, later=verdicts)
def test_a_headline_that_shows_less_never_replaces_one_that_shows_more(stands, later) -> None:
    if outranks(stands[0], later[0]):
        assert outlasts(*stands, *later)
        assert not outlasts(*later, *stands)


@given(stands=verdicts, later=verdicts, last=verdicts)
def test_what_falls_to_a_verdict_falls_to_whatever_replaces_that(stands, later, last) -> None:
    if not outlasts(*stands, *later) and not outlasts(*later, *last):
        assert not outranks(stands[0], last[0])


@pytest.mark.parametrize("no", [Outcome.NONE, Outcome.NO_ALERT])
def test_a_proven_no_stands_against_a_doubt_and_falls_to_a_newer_no(no: Outcome) -> None:
    assert outlasts(no, None, Outcome.INCONCLUSIVE, None)
    assert not outlasts(no, None, Outcome.NONE, None)
    assert not outlasts(Outcome.INCONCLUSIVE, None, no, None)


def test_a_doubt_falls_to_a_newer_doubt() -> None:
    assert not outlasts(Outcome.INCONCLUSIVE, None, Outcome.INCONCLUSIVE, None)


def test_of_equal_headlines_only_firmer_evidence_replaces_the_first() -> None:
    assert outlasts(Outcome.ALERTED, MatchTier.HOST, Outcome.ALERTED, None)
    assert outlasts(Outcome.ALERTED, MatchTier.HOST, Outcome.ALERTED, MatchTier.HOST)
    assert not outlasts(Outcome.ALERTED, MatchTier.HOST, Outcome.ALERTED, MatchTier.PROCESS)
    assert not outlasts(Outcome.ALERTED, None, Outcome.ALERTED, MatchTier.HOST)


def test_that_a_check_cannot_apply_stands_against_a_doubt() -> None:
    assert outlasts(Outcome.NOT_APPLICABLE, None, Outcome.INCONCLUSIVE, None)
