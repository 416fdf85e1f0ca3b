"""Fields are read wherever a product puts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from checking_core.plugin.fields import moment_at, number_at, texts_at, values_at


@pytest.mark.parametrize(
    "record",
    [
        {"kibana.alert.rule.name": "x"},
        {"kibana": {"alert": {"rule": {"name": "x"}}}},
        {"kibana.alert": {"rule.name": "x"}},
        {"kibana": {"alert.rule": {"name": ["x"]}}},
        {"kibana": {"alert": None}, "kibana.alert.rule": {"name": "x"}},
    ],
)
def test_dots_and_levels_are_the_same(record: dict[str, Any]) -> None:
    assert texts_at(record, "kibana.alert.rule.name") == ("x",)


def test_lists_on_the_way_are_looked_through() -> None:
    record = {"threat": [{"technique": [{"id": "T1003"}, {"id": "T1059"}]}, {"technique": {"id": "T1003"}}]}
    assert texts_at(record, "threat.technique.id") == ("T1003", "T1059")


def test_what_is_not_there_is_nothing() -> None:
    assert values_at({"a": None, "b": {}, "c": "text"}, "a", "b.x", "c.d", "e") == []


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), ("0x1f", 31), ("x", None), (True, None), ([None, 3], 3)]
)
def test_a_number_is_read_as_products_write_it(value: Any, number: int | None) -> None:
    assert number_at({"pid": value}, "pid") == number


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-08-28T11:32:04.582157884Z", datetime(2024, 8, 28, 11, 32, 4, 582157, UTC)),
        ("2020-08-24T12:10:17.000-07:00", datetime(2020, 8, 24, 12, 10, 17, tzinfo=timezone(timedelta(hours=-7)))),
        ("2099-11-15T14:12:12", datetime(2099, 11, 15, 14, 12, 12, tzinfo=UTC)),
        ("1717493410", datetime(2024, 6, 4, 9, 30, 10, tzinfo=UTC)),
        (1795200123456, datetime(2026, 11, 20, 18, 42, 3, 456000, UTC)),
        ("yesterday", None),
        ("9" * 30, None),
    ],
)
def test_a_time_is_read_as_products_write_it(value: Any, moment: datetime | None) -> None:
    assert moment_at({"time": value}, "time") == moment
