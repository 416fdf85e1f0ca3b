"""Who gets how much of a claim."""

from hypothesis import given
from hypothesis import strategies as st

from checking_core.storage.shares import fair_shares

DEMANDS = st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(-5, 60), max_size=12)


@given(st.integers(0, 100), DEMANDS)
def test_all_that_is_wanted_and_there_is_given_and_no_more(limit, demands):
    shares = fair_shares(limit, demands)
    wanted = {name: max(demand, 0) for name, demand in demands.items()}
    assert shares.keys() == demands.keys()
    assert all(0 <= shares[name] <= wanted[name] for name in demands)
    assert sum(shares.values()) == min(limit, sum(wanted.values()))


@given(st.integers(0, 100), DEMANDS)
def test_who_gets_less_than_wanted_gets_no_less_than_others(limit, demands):
    shares = fair_shares(limit, demands)
    short = [name for name in demands if shares[name] < demands[name]]
    assert all(shares[name] + 1 >= max(shares.values()) for name in short)


@given(st.integers(0, 100), DEMANDS)
def test_what_does_not_divide_goes_to_the_first(limit, demands):
    shares = fair_shares(limit, demands)
    short = [shares[name] for name in demands if shares[name] < demands[name]]
    assert short == sorted(short, reverse=True)


def test_shares_are_equal_where_all_want_much_and_follow_demand_where_some_want_little():
    assert fair_shares(9, {"a": 50, "b": 50, "c": 50}) == {"a": 3, "b": 3, "c": 3}
    assert fair_shares(10, {"a": 50, "b": 1, "c": 50}) == {"a": 5, "b": 1, "c": 4}
    assert fair_shares(2, {"a": 50, "b": 50, "c": 50}) == {"a": 1, "b": 1, "c": 0}
