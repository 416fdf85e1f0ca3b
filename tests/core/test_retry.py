"""The retry policy: which errors, how often, how long."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.errors import (
    BackendAuthFailedError,
    BackendRateLimitedError,
    BackendUnreachableError,
    DetectionError,
    QueryInvalidError,
)
from checking_core.plugin.retry import RetryPolicy

policies = st.builds(
    RetryPolicy, retries=st.integers(0, 100), delay=st.floats(0, 86_400), cap=st.floats(0, 120, allow_nan=False)
)
randoms = st.integers().map(Random)
AWAY = BackendUnreachableError("connection refused")


@pytest.mark.parametrize("error", [BackendAuthFailedError("401"), QueryInvalidError("syntax"), DetectionError("odd")])
def test_only_a_retriable_error_is_worth_another_attempt(error):
    assert RetryPolicy(retries=5).wait(1, error, Random(1)) is None


@given(policies, randoms)
def test_an_attempt_is_repeated_as_often_as_allowed_and_no_more(policy, random):
    repeated = [policy.wait(failures, AWAY, random) is not None for failures in range(1, policy.retries + 3)]
    assert repeated == [True] * policy.retries + [False, False]


@given(policies, st.integers(1, 100), randoms)
def test_a_wait_is_within_the_cap_and_not_shorter_than_the_first_delay(policy, failures, random):
    wait = policy.wait(failures, AWAY, random)
    if wait is not None:
        assert min(policy.delay, policy.cap) <= wait <= policy.cap


@given(st.floats(0.01, 10), st.integers(1, 10), randoms)
def test_waits_double(delay, failures, random):
    policy = RetryPolicy(retries=100, delay=delay, cap=1e9)
    base = delay * 2 ** (failures - 1)
    wait = policy.wait(failures, AWAY, random)
    assert wait is not None
    assert base <= wait <= 1.5 * base


@given(policies, st.integers(1, 100), st.floats(0, 3600), randoms)
def test_a_backend_that_asks_for_time_gets_it_or_the_look_ends(policy, failures, seconds, random):
    error = BackendRateLimitedError("slow down", retry_after=timedelta(seconds=seconds))
    wait = policy.wait(failures, error, random)
    asked = timedelta(seconds=seconds).total_seconds()
    if asked > policy.cap:
        assert wait is None
    elif wait is not None:
        assert asked <= wait <= policy.cap


@given(policies, st.integers(1, 100), st.integers())
def test_the_same_random_source_waits_the_same(policy, failures, seed):
    assert policy.wait(failures, AWAY, Random(seed)) == policy.wait(failures, AWAY, Random(seed))


@given(policies, st.floats(0, 600), randoms)
def test_no_look_outlives_its_budget(policy, timeout, random):
    waits = (policy.wait(failures, AWAY, random) for failures in range(1, policy.retries + 1))
    spent = sum(timeout + (wait or 0.0) for wait in waits) + timeout
    assert spent <= policy.budget(timeout) + 1e-6
