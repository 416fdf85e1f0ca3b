"""Rules for data and databases that are not as they should be: each fault says what the caller does next."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

import traceback
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from checking_core.errors import SchemaOutdatedError, StoreRejectedError, StoreUnavailableError
from checking_core.storage import Store, migrate
from checking_core.storage.tables import operations
from checking_core.testing.storage_conformance.rows import (
    accept,
    add,
    check_row,
    dump,
    link_message,
    plan,
    planned,
    result_row,
    settle,
    stored_checks,
)

__all__ = ["FaultRules"]

_UNSTORABLE: dict[str, dict[str, Any]] = {
    "a time without an offset": {"started_at": datetime(2026, 11, 20, 19, 0)},  # noqa: DTZ001
    "a number that does not fit": {"pid": 2**63},
    "half a character": {"command": "echo \ud83d"},
    "half a character in JSON": {"result_data": {"stdout": "\ud83d"}},
    "an unknown word": {"clock": "sundial"},
    "nothing where something must be": {"command": None},
    "what is no JSON": {"result_data": object()},
}


class FaultRules:
    """Refused rows, missing schemas, databases that are away."""

    # --- refused ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("facts", _UNSTORABLE.values(), ids=_UNSTORABLE.keys())
    async def test_a_row_that_cannot_be_stored_is_refused_and_nothing_is_written(
        self, store: Store, facts: dict[str, Any]
    ) -> None:
        operation_id = uuid4()
        batch = [link_message(operation_id, 0), link_message(operation_id, 1, **facts)]
        with pytest.raises(StoreRejectedError):
            await accept(store, batch)
        assert (await dump(store), await dump(store, operations)) == ({}, {})
        await accept(store, batch[:1])
        assert len(await dump(store)) == 1

    @pytest.mark.parametrize("facts", _UNSTORABLE.values(), ids=_UNSTORABLE.keys())
    async def test_a_refusal_tells_what_is_wrong_but_not_the_row(self, store: Store, facts: dict[str, Any]) -> None:
        batch = [link_message(uuid4(), **{"executor": "hunter2", "result_data": {"stdout": "hunter2"}, **facts})]
        with pytest.raises(StoreRejectedError) as refused:
            await accept(store, batch)
        assert "hunter2" not in "".join(traceback.format_exception(refused.value))

    async def test_a_row_without_its_parent_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreRejectedError):
            await plan(store, [check_row(link_message(uuid4()))])

    async def test_a_naive_time_is_refused_wherever_it_stands(self, store: Store) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        naive = datetime(2026, 11, 20, 19, 0)  # noqa: DTZ001
        with pytest.raises(StoreRejectedError, match="offset"):
            await settle(store, {"id": check["id"], "completed_at": naive})
        with pytest.raises(StoreRejectedError, match="offset"):
            await add(store, result_row(check, event_at=naive))
        assert await stored_checks(store, [check["id"]]) == [check]

    async def test_a_look_before_the_first_is_refused(self, store: Store) -> None:
        (check,) = await stored_checks(store, await planned(store, 1))
        with pytest.raises(StoreRejectedError):
            await settle(store, {"id": check["id"], "look": 0})
        with pytest.raises(StoreRejectedError):
            await settle(store, {"id": check["id"], "status": "asleep"})

    async def test_a_reader_cannot_write(self, store: Store) -> None:
        async with store.read() as uow:
            with pytest.raises(DBAPIError):
                await uow.operations.accept_batch([link_message(uuid4())])
        assert await dump(store, operations) == {}

    # --- away ---------------------------------------------------------------------------------------------

    async def test_a_database_without_our_tables_names_the_remedy(self, empty_url: str) -> None:
        async with Store(empty_url) as empty:
            with pytest.raises(SchemaOutdatedError, match="checking db upgrade"):
                await accept(empty, [link_message(uuid4())])
            with pytest.raises(SchemaOutdatedError, match="checking db upgrade"):
                await dump(empty)
        with pytest.raises(SchemaOutdatedError, match="checking db upgrade"):
            await migrate.check(empty_url)

    async def test_a_database_that_is_away_is_unavailable(self, away_urls: list[str]) -> None:
        assert away_urls
        for url in away_urls:
            async with Store(url) as away:
                with pytest.raises(StoreUnavailableError):
                    await accept(away, [link_message(uuid4())])
                with pytest.raises(StoreUnavailableError):
                    await dump(away)
                with pytest.raises(StoreUnavailableError):
                    await away.ping()
            with pytest.raises(StoreUnavailableError):
                await migrate.check(url)

    async def test_a_store_is_closed_as_often_as_one_likes(self, store: Store) -> None:
        await store.ping()
        await store.close()
        await store.close()
        assert await dump(store, operations) == {}
