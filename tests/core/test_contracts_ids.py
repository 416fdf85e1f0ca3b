"""Derived ids: the same for the same thing on every machine and in every release, different for different things."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checking_core.contracts import check_id_of, execution_id_of, identity, task_id_of

OPERATION = UUID("464a80be-0d2e-4f5c-9a51-6f5c0a5e7a11")
LINK = UUID("571fb0b5-7d38-4f4f-8a36-1c6ab5f0d2c3")


def test_ids_stay_what_they_are_for_stored_rows_depend_on_them():
    execution = execution_id_of(OPERATION, LINK)
    check = check_id_of(execution, "splunk-prod", "lsass-comsvcs")
    assert [str(found) for found in (execution, check, task_id_of(check, 1), identity("caldera", "op-12345"))] == [
        "60f354ec-ab09-56e9-abed-654235f4f9c8",
        "6609e1b2-77ea-560b-913d-a5d538f2dfd7",
        "bce3b7b1-ad62-56ac-8154-76620f007ad6",
        "7bee07a5-7b37-596d-931d-d3ef0c387c4a",
    ]


@pytest.mark.parametrize("text", [str(LINK), str(LINK).upper(), LINK.hex])
def test_a_uuid_is_its_own_identity_whatever_the_source(text: str):
    assert identity("caldera", text) == identity("atomic", text) == LINK


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_names_are_different_things(first: str, second: str):
    assert (identity("s", first) == identity("s", second)) == (first == second)


def test_a_check_differs_by_execution_backend_and_expectation_and_a_task_by_look():
    checks = {
        check_id_of(execution, backend, name) for execution in (OPERATION, LINK) for backend in "ab" for name in "xy"
    }
    assert len(checks) == 8
    assert len({task_id_of(check, look) for check in checks for look in (1, 2)}) == 16
