"""Rules of the dead letters, and of every list that comes in pages."""
# ruff: noqa: D102 - the name of a test states its rule

from __future__ import annotations

from typing import Any
from uuid import uuid4

from checking_core.storage import Page, Paging, Store
from checking_core.storage.listing import COUNTED
from checking_core.storage.tables import dead_letters
from checking_core.testing.storage_conformance.rows import MovableClock, at, dump

__all__ = ["DeadLetterRules"]


class DeadLetterRules:
    """Messages that could not be accepted, kept, listed and forgotten."""

    async def test_a_dead_letter_is_kept_byte_for_byte(self, store: Store, clock: MovableClock) -> None:
        letter = {
            "queue": "checking.instructions",
            "message_id": "7",
            "reason": "operation.name: is missing",
            "origin": "operation.jsonl:7",
            "headers": {"x-request-id": "Ä 1"},
            "body": bytes(range(256)),
        }
        await _add(store, letter)
        ((key, row),) = (await dump(store, dead_letters)).items()
        assert dict(row) == {**letter, "id": key, "created_at": clock.now}
        assert key.version == 7
        async with store.read() as uow:
            assert await uow.dead_letters.get(key) == row

    async def test_what_is_unknown_of_a_dead_letter_stays_empty(self, store: Store) -> None:
        await _add(store, {"queue": "q", "reason": "r", "body": b""}, {"queue": "q", "reason": "r", "body": b"2"})
        rows = (await dump(store, dead_letters)).values()
        assert {(row["message_id"], row["origin"], row["headers"]) for row in rows} == {(None, None, None)}

    async def test_a_dead_letter_is_deleted_once(self, store: Store) -> None:
        await _add(store, *(_letter(number) for number in range(3)))
        first, second, third = await dump(store, dead_letters)
        async with store.begin() as uow:
            assert await uow.dead_letters.delete_batch([second, uuid4(), first]) == {first, second}
            assert await uow.dead_letters.delete_batch([first]) == set()
            assert (await uow.dead_letters.get_batch([third, first])).keys() == {third}
        assert list(await dump(store, dead_letters)) == [third]

    async def test_a_dead_letter_that_brings_its_id_is_kept_once(self, store: Store) -> None:
        letter = {**_letter(1), "id": uuid4()}
        await _add(store, letter, letter)
        await _add(store, {**letter, "reason": "another"}, _letter(2))
        rows = await dump(store, dead_letters)
        assert [rows.pop(letter["id"])["reason"], *(row["body"] for row in rows.values())] == ["malformed", b"2"]

    async def test_dead_letters_are_found_by_a_part_of_their_reason(self, store: Store, clock: MovableClock) -> None:
        for number, reason in enumerate(["delivery_limit", "v: 100% Unknown", "v: 100 unknown"]):
            clock.move_to(number)
            await _add(store, {**_letter(number), "reason": reason})
        async with store.read() as uow:
            found = await uow.dead_letters.list(reason="100% unk")
            oldest_first = await uow.dead_letters.ids("v: 100")
            every = await uow.dead_letters.ids()
        assert ([row["body"] for row in found.items], found.total) == ([b"1"], 1)
        assert oldest_first == every[1:]

    async def test_dead_letters_are_listed_newest_first_none_twice_none_left_out(
        self, store: Store, clock: MovableClock
    ) -> None:
        for batch in range(3):
            clock.move_to(batch)
            await _add(store, *(_letter(10 * batch + number) for number in range(3)))
        pages = [await _page(store, page=page, size=4) for page in (1, 2, 3, 4)]
        assert [row["body"] for page in pages for row in page.items] == [
            _letter(number)["body"] for number in (22, 21, 20, 12, 11, 10, 2, 1, 0)
        ]
        assert [(page.total, page.total_is_minimum, page.page, page.size) for page in pages] == [
            (9, False, number, 4) for number in (1, 2, 3, 4)
        ]
        assert pages[0].items[0]["created_at"] == at(2)

    async def test_a_total_is_exact_up_to_a_limit_and_then_a_minimum(self, store: Store) -> None:
        empty = await _page(store, page=1, size=10)
        await _add(store, *(_letter(number) for number in range(COUNTED)))
        full = await _page(store, page=1, size=10)
        await _add(store, _letter(COUNTED))
        beyond = await _page(store, page=1, size=10)
        last = await _page(store, page=COUNTED // 10 + 1, size=10)
        assert (empty.total, empty.total_is_minimum, empty.items) == (0, False, [])
        assert (full.total, full.total_is_minimum, len(full.items)) == (COUNTED, False, 10)
        assert (beyond.total, beyond.total_is_minimum, len(beyond.items)) == (COUNTED, True, 10)
        assert [row["body"] for row in last.items] == [_letter(0)["body"]]

    async def test_an_unknown_dead_letter_is_none(self, store: Store) -> None:
        async with store.read() as uow:
            assert await uow.dead_letters.get(uuid4()) is None


def _letter(number: int) -> dict[str, Any]:
    return {"queue": "checking.instructions", "reason": "malformed", "body": b"%d" % number}


async def _add(store: Store, *letters: dict[str, Any]) -> None:
    async with store.begin() as uow:
        await uow.dead_letters.add_batch(letters)


async def _page(store: Store, *, page: int, size: int) -> Page:
    async with store.read() as uow:
        return await uow.dead_letters.list(Paging(page=page, size=size))
