"""Reading ahead: in order, as it comes, not further than needed, and never in the way."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import aclosing
from itertools import count

import pytest

from checking_core.errors import ConfigurationError
from checking_server.readers.ahead import batches

PATIENCE = 10


async def test_everything_comes_once_in_its_order_in_batches_of_the_size_that_was_asked() -> None:
    taken = [batch async for batch in batches(range(1000), 7)]
    assert [item for batch in taken for item in batch] == list(range(1000))
    assert max(map(len, taken)) <= 7


async def test_nothing_gives_no_batch() -> None:
    assert [batch async for batch in batches([], 7)] == []


async def test_a_slow_source_gives_each_item_as_it_comes() -> None:
    pipe: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    async with aclosing(batches(iter(pipe.get, None), 100)) as taking:
        for item in range(3):
            pipe.put(item)
            assert await anext(taking) == [item]
        pipe.put(None)
        assert [batch async for batch in taking] == []


async def test_no_more_is_read_ahead_than_a_few_batches() -> None:
    taken, leads = 0, []

    def source() -> Iterator[int]:
        for item in range(1000):
            leads.append(item - taken)
            yield item

    async for batch in batches(source(), 10):
        taken += len(batch)
        await asyncio.sleep(0)
    assert (taken, len(leads)) == (1000, 1000)
    assert max(leads) <= 30


async def test_a_problem_of_the_source_comes_after_what_was_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(10)
        raise ConfigurationError("the file ends in the middle")

    taken: list[int] = []

    async def take() -> None:
        async for batch in batches(source(), 3):
            taken.extend(batch)

    with pytest.raises(ConfigurationError, match="in the middle"):
        await take()
    assert taken == list(range(10))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_thread_that_broke_off_is_never_taken_for_the_end() -> None:
    readers = []

    def source() -> Iterator[int]:
        readers.append(threading.current_thread())
        yield 1
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="broke off"):
        assert [batch async for batch in batches(source(), 3)] == []
    readers[0].join(PATIENCE)


async def test_who_leaves_early_leaves_no_thread() -> None:
    readers = []

    def endless() -> Iterator[int]:
        readers.append(threading.current_thread())
        yield from count()

    async with aclosing(batches(endless(), 2)) as taking:
        await anext(taking)
        assert readers[0].is_alive()
    readers[0].join(PATIENCE)
    assert not readers[0].is_alive()
