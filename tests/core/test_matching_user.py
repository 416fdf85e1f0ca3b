"""Whether two accounts are one."""

from __future__ import annotations

import pytest

from checking_core.matching.user import Account

SID = "S-1-5-21-3940915590-64593676-1414006259-500"


def same(ours: str, theirs: str) -> bool:
    one, other = Account.of(ours), Account.of(theirs)
    assert one is not None
    assert other is not None
    assert one.same_as(other) is other.same_as(one)
    return one.same_as(other)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("alice", "Alice"),
        ("alice", " alice "),
        (r"CORP\alice", "alice"),
        ("alice@corp.example", "alice"),
        (r"CORP\alice", r"corp\ALICE"),
        (r"CORP\alice", "alice@corp.example"),
        (r"corp.example\alice", "alice@corp.example"),
        (r"CORP\alice", "alice@corp.example.com"),
        (r".\alice", r"CORP\alice"),
        (SID, SID.lower()),
    ],
)
def test_forms_of_one_account_are_the_same(ours, theirs):
    assert same(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("alice", "alicia"),
        (r"CORP\alice", r"LAB\alice"),
        ("alice@corp.example", "alice@lab.example"),
        ("alice@corp.example", "alice@corp.test"),
        (r"COR\alice", "alice@corp.example"),
        (r"example\alice", "alice@corp.example"),
        (SID, SID[:-1]),
    ],
)
def test_different_accounts_are_never_the_same(ours, theirs):
    assert not same(ours, theirs)


@pytest.mark.parametrize("nobody", ["", " ", "-", "unknown", "N/A", "null", "CORP\\", "@corp.example"])
def test_an_untold_name_is_nobody(nobody):
    assert Account.of(nobody) is None


@pytest.mark.parametrize(
    "everyone",
    [
        "root",
        "SYSTEM",
        r"NT AUTHORITY\SYSTEM",
        r"NT AUTHORITY\ANONYMOUS LOGON",
        r"Window Manager\DWM-1",
        "LOCAL SERVICE",
        "S-1-5-18",
        r"CORP\WS01$",
    ],
)
def test_an_account_that_every_host_has_tells_nobody_apart(everyone):
    assert Account.of(everyone) is None


def test_the_name_stands_after_the_last_backslash():
    assert Account.of(r"FOREST\CORP\alice") == Account("alice", r"forest\corp")


def test_only_the_first_at_sign_parts_name_and_domain():
    assert Account.of("alice@corp@example") == Account("alice", "corp@example")
