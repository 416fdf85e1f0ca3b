"""Rules for values: what is stored comes back, whatever its characters, shape or time zone."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from checking_core.storage import Store
from checking_core.storage.tables import detection_executions, detection_results, operations
from checking_core.testing.storage_conformance.rows import (
    MovableClock,
    accept,
    add,
    at,
    check_row,
    dump,
    execution_id,
    link_message,
    plan,
    result_row,
)

__all__ = ["ValueRules"]

_AWKWARD = (
    "",
    "plain",
    "naïve Ünïcödé ✓ 漢字",
    "🧨👩‍👩‍👧‍👦",
    "\u202egnp.exe\u202c أهلا שלום",
    'it\'s "quoted" `and` $(more) ${HOME} %PATH% :name ?1 $1',
    "C:\\Windows\\System32\\ \\u0041 \\x00 \\N{DASH} \\",
    "line\r\nbreak\ttab\x1b[31m\x07\x7f\u0085\u2028\ufeff",
    "'; DROP TABLE operations; --",
    "\U0010ffff\ufffd",
    "a" * 1024 * 1024,
)


class ValueRules:
    """Text, JSON, times."""

    @pytest.mark.parametrize("text", _AWKWARD, ids=lambda text: ascii(text[:12]))
    async def test_text_survives_whatever_its_characters(self, store: Store, text: str) -> None:
        message = link_message(
            uuid4(),
            command=text,
            plaintext_command=text,
            result_data={"stdout": text, "nested": [{text[:99]: text[:99]}]},
            raw=text or "-",
            operation={"name": text[:500], "source_id": text},
        )
        await accept(store, [message])
        row = (await dump(store))[execution_id(message)]
        assert message.execution is not None
        assert (row["command"], row["plaintext_command"], row["raw_message"]) == (text, text, text or "-")
        assert row["result_data"] == message.execution.result_data
        (operation,) = (await dump(store, operations)).values()
        assert (operation["name"], operation["source_id"]) == (text[:500], text)

    @pytest.mark.parametrize(
        "value",
        [None, {}, [], "text", 7, 0.1, True, {"a": None}, {"b": 2**63 - 1, "a": [1.5e-7, "\\", {"": {}}]}],
        ids=repr,
    )
    async def test_json_survives_whatever_its_shape(self, store: Store, value: Any) -> None:
        message = link_message(uuid4(), result_data=value)
        await accept(store, [message])
        assert (await dump(store))[execution_id(message)]["result_data"] == value

    async def test_json_of_checks_and_results_survives(self, store: Store) -> None:
        message = link_message(uuid4())
        config: dict[str, Any] = {"rule": {"query": "a \\ 'b' \"c\" 🧨"}, "n": None, "deep": [[[{}]]]}
        row = {**check_row(message), "detection_config": config}
        await accept(store, [message])
        await plan(store, [row])
        await add(store, result_row(row, raw_response="text", parsed_results=[config], metadata=None))
        assert (await dump(store, detection_executions))[row["id"]]["detection_config"] == config
        (result,) = (await dump(store, detection_results)).values()
        assert (result["raw_response"], result["parsed_results"], result["metadata"]) == ("text", [config], None)

    @pytest.mark.parametrize(
        "moment",
        [
            at(0.000001),
            at(0).astimezone(timezone(timedelta(hours=5, minutes=45))),
            at(0).astimezone(timezone(timedelta(hours=-11))),
            at(-1e9),
        ],
        ids=str,
    )
    async def test_times_come_back_in_utc_to_the_microsecond(self, store: Store, moment: datetime) -> None:
        message = link_message(uuid4(), started_at=moment)
        await accept(store, [message])
        stored = (await dump(store))[execution_id(message)]["started_at"]
        assert (stored, stored.utcoffset()) == (moment, timedelta(0))

    async def test_the_time_of_a_transaction_is_the_clocks(
        self, store: Store, clock: MovableClock, default_clock_store: Callable[[], Store]
    ) -> None:
        clock.move_to(77)
        async with store.begin() as uow:
            assert uow.now == at(77)
        async with default_clock_store() as other, other.begin() as uow:
            assert uow.now.utcoffset() == timedelta(0)
